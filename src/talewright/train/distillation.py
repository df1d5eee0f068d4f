"""The teacher: a trained run from whose expectations another model learns, beside the tokens themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talewright.config import ModelConfig, Recipe
from talewright.data import Corpus
from talewright.errors import UserError
from talewright.files import sha256_file
from talewright.model.gpt import GPT
from talewright.model.loss import Taught
from talewright.run.checkpoint import WEIGHTS
from talewright.run.folder import RunFolder


class Teacher:
    """A model that is read and not trained (Hinton et al. 2015, arXiv:1503.02531), and its share of the loss."""

    def __init__(self, model: GPT, share: float, source: dict[str, str] | None = None) -> None:
        self.model, self.share = model.eval().requires_grad_(False), share
        self.source = source
        """Its checkpoint, and the SHA-256 of the weights in it."""

    @torch.no_grad()
    def read(self, inputs: Tensor) -> Taught:
        """What it makes of `inputs` (B, T)."""
        model = self.model
        return Taught(model.hidden(inputs), model.output_weight, self.share)


def open_teacher(recipe: Recipe, corpus: Corpus, noted: Any = None) -> Teacher | None:
    """The recipe's teacher at its best checkpoint, or, for a run that goes on, at the one `noted` when it began; None
    where the recipe has none. Raises UserError where it cannot teach the recipe's model, or is no longer what it was.
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
        raise UserError(f"{checkpoint} is not the teacher that this run began with: its weights are others")
    return Teacher(model, recipe.train.teacher_weight, source)


def teacher_shape(recipe: Recipe) -> ModelConfig | None:
    """The shape of the recipe's teacher, or None. Raises UserError where such a model cannot teach the recipe's."""
    if recipe.train.teacher is None:
        return None
    folder, ours = Path(recipe.train.teacher), recipe.model
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
    """The step of the checkpoint that is noted. Raises UserError where none is."""
    if not isinstance(noted, dict) or not noted.get("checkpoint"):
        raise UserError("this run began without a teacher; leave train.teacher out, or train anew into another folder")
    return str(noted["checkpoint"]).removeprefix("step-")
