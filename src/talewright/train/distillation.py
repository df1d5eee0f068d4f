"""Distillation: a model learns the predictions of a trained run, the teacher, beside the tokens themselves."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from talewright.config import ModelConfig, Recipe
from talewright.data import Corpus
from talewright.errors import UserError
from talewright.files import sha256_file
from talewright.model.gpt import GPT
from talewright.model.loss import RealTargets, cross_entropy, product_dtype, without_padding
from talewright.run.checkpoint import WEIGHTS
from talewright.run.folder import RunFolder
from talewright.run.included import run_path


class TeacherOutput(NamedTuple):
    """What a teacher computes from the student's tokens, and its share of the loss."""

    hidden: Tensor
    """What its output layer reads: (B, T, E), of its own width."""
    output_weight: Tensor
    """Its output layer: (V, E)."""
    share: float
    """From 0 to 1."""


class Teacher:
    """A frozen model whose predictions another model learns (Hinton et al. 2015, arXiv:1503.02531)."""

    def __init__(self, model: GPT, share: float, source: dict[str, str] | None = None) -> None:
        self.model, self.share = model.eval().requires_grad_(False), share
        self.source = source
        """Its checkpoint, and the SHA-256 of the weights in it."""

    @torch.no_grad()
    def read(self, tokens: Tensor) -> TeacherOutput:
        """Its output for `tokens` (B, T)."""
        return TeacherOutput(self.model.hidden(tokens), self.model.output_weight, self.share)


def distillation_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, teacher: TeacherOutput, real: RealTargets = None
) -> Tensor:
    """(1 - share) * cross-entropy against the targets + share * cross-entropy against the teacher's probabilities.

    The other arguments and the result, (2,), are those of `cross_entropy` with an adjustment.
    """
    (teacher_hidden,) = without_padding(targets, teacher.hidden, real=real)
    output_weight = teacher.output_weight.to(product_dtype(hidden))

    def blend(rows: slice, logits: Tensor, targets: Tensor, d_logits: Tensor) -> Tensor:
        """Cross-entropy against q is -log p[target] + sum of q * (logits[target] - logits), as the sum of q is 1."""
        q = F.linear(teacher_hidden[rows].to(logits.dtype), output_weight).softmax(-1)
        numbers = torch.arange(len(targets), device=targets.device)
        ahead = logits[numbers, targets, None] - logits
        d_logits.sub_(q, alpha=teacher.share)
        d_logits[numbers, targets] += teacher.share
        return teacher.share * (q * ahead).sum(dtype=torch.promote_types(q.dtype, torch.float32))

    return cross_entropy(hidden, weight, targets, blend, real)


def open_teacher(recipe: Recipe, corpus: Corpus, noted: Any = None) -> Teacher | None:
    """The recipe's teacher at its best checkpoint, or, for a resumed run, at the one `noted` when the run began; None
    if the recipe has none. Raises UserError if it cannot teach the recipe's model, or has changed since.
    """
    shape = teacher_shape(recipe)
    if shape is None:
        return None
    run = RunFolder(str(recipe.train.teacher))
    if run.tokenizer.fingerprint != corpus.tokenizer.fingerprint:
        raise UserError(f"train.teacher {run.path} has another tokenizer than the stories in {corpus.folder}")
    model, checkpoint = run.load_model("best" if noted is None else _step(noted), torch.device("cpu"))
    source = {"checkpoint": checkpoint.name, "sha256": sha256_file(checkpoint / WEIGHTS)}
    if noted not in (None, source):
        raise UserError(f"{checkpoint} is not the teacher that this run began with: its weights differ")
    return Teacher(model, recipe.train.teacher_weight, source)


def teacher_shape(recipe: Recipe) -> ModelConfig | None:
    """The shape of the recipe's teacher, or None. Raises UserError if such a model cannot teach the recipe's."""
    if recipe.train.teacher is None:
        return None
    folder, ours = run_path(recipe.train.teacher), recipe.model
    if not RunFolder.is_run(folder):
        why = "it has no recipe.yaml" if folder.is_dir() else "there is no such folder"
        raise UserError(f"train.teacher is {folder}, which is not a run folder: {why}")
    theirs = RunFolder(folder).recipe.model
    if theirs.vocab_size != ours.vocab_size:
        raise UserError(
            f"train.teacher {folder} has model.vocab_size {theirs.vocab_size}, and the recipe {ours.vocab_size}; the "
            "teacher's would do"
        )
    if theirs.context_length < recipe.sequence_length:
        raise UserError(
            f"train.teacher {folder} sees {theirs.context_length} tokens, and a window has {recipe.sequence_length}; "
            f"--data.sequence-length {theirs.context_length} would do"
        )
    return theirs


def _step(noted: Any) -> str:
    """The step of the noted checkpoint. Raises UserError if there is none."""
    if not isinstance(noted, dict) or not noted.get("checkpoint"):
        raise UserError("this run began without a teacher; leave train.teacher out, or train into another folder")
    return str(noted["checkpoint"]).removeprefix("step-")
