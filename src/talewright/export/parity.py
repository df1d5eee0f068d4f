"""The parity check of an export: a fresh process reads what was written, and its logits are compared with ours.

That process is a plain Python in which `talewright` cannot be imported: it sees what a user elsewhere sees.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talewright.config import Recipe
from talewright.data import bundled
from talewright.data.corpus import Corpus, is_corpus
from talewright.data.preparation.request import PreparationRequest, cache_folder
from talewright.errors import UserError
from talewright.files import error_reason
from talewright.tokenizer import Tokenizer

if TYPE_CHECKING:
    from talewright.model.gpt import GPT

READERS = Path(__file__).parent / "readers"
STORIES = 4
"""Stories to compare the logits of."""


@dataclass(frozen=True)
class ParityResult:
    """How far the logits of an export are from those of its model."""

    difference: float
    """The largest difference of a logit."""
    bound: float
    """The largest difference that the precision allows."""
    largest: float
    """The largest logit of the model."""
    tokens: int

    def __str__(self) -> str:
        return (
            f"largest logit difference {self.difference:.1e} of {self.largest:.3g} (tolerance {self.bound:.1e}) on "
            f"{self.tokens:,} tokens"
        )


def check_parity(
    model: GPT, reader: str, path: Path, stories: Sequence[Sequence[int]], tolerance: float
) -> ParityResult:
    """Compare the logits of the export at `path`, as the reader computes them, with the model's on stories (token ids).

    tolerance: the allowed difference relative to the model's largest logit. Raises UserError if the difference is
    larger, or if the reader fails.
    """
    import torch

    with torch.inference_mode():
        ours = [model(torch.tensor([story]))[0].numpy() for story in stories]  # (T, V) each
    theirs = reader_logits(reader, path, stories)
    # the reader may have more tokens than the model (padding), but not fewer
    difference = max(float(np.abs(a - b[:, : a.shape[1]]).max()) for a, b in zip(ours, theirs, strict=True))
    largest = max(float(np.abs(logits).max()) for logits in ours)
    result = ParityResult(difference, tolerance * max(1.0, largest), largest, sum(map(len, stories)))
    if not difference <= result.bound:  # also if it is NaN
        raise UserError(f"the {reader} reader does not compute the same as our model: {result}. Nothing was kept")
    return result


def reader_logits(reader: str, path: Path, stories: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Logits (T, V) of each story, computed by the reader in a fresh process. Raises UserError with its last line."""
    with tempfile.TemporaryDirectory() as work:
        tokens, logits = Path(work) / "tokens.npz", Path(work) / "logits.npz"
        np.savez(tokens, *[np.asarray(story, dtype=np.int64) for story in stories])
        # -P: modules are not searched for in the folder of the program
        program = [sys.executable, "-P", str(READERS / "__init__.py"), str(READERS / f"{reader}.py")]
        command = [*program, str(path.resolve()), str(tokens), str(logits)]
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", cwd=work)
        except OSError as error:  # else it would be taken for an error of the folder
            raise UserError(
                f"{path} cannot be read in a fresh process: {sys.executable} does not start ({error_reason(error)})"
            ) from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
            raise UserError(f"{path} cannot be read in a fresh process: {last}")
        with np.load(logits) as arrays:
            return [arrays[f"arr_{i}"] for i in range(len(stories))]


def parity_stories(recipe: Recipe, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of validation stories of the run if they are still prepared on this machine, otherwise of bundled ones.

    Each begins with an end of text and fits the model's context.
    """
    stories = _prepared_stories(recipe, tokenizer)
    if not stories:
        return bundled_stories(tokenizer, recipe.model.context_length)
    return [[tokenizer.begin_id, *story][: recipe.model.context_length] for story in stories]


def _prepared_stories(recipe: Recipe, tokenizer: Tokenizer) -> list[list[int]]:
    """The first validation stories of the corpus that the run was trained on, if it is still here."""
    try:
        folder = cache_folder(PreparationRequest(recipe.data, recipe.tokenizer, recipe.model.vocab_size))
        corpus = Corpus.open(folder) if is_corpus(folder) else None
    except UserError:  # its source files are gone, or it is damaged
        return []
    if corpus is None or corpus.tokenizer.fingerprint != tokenizer.fingerprint or "valid" not in corpus.splits:
        return []
    split = corpus.split("valid")
    return [split.story(i).tolist() for i in range(min(STORIES, split.n_stories))]


def bundled_stories(tokenizer: Tokenizer, context_length: int) -> list[list[int]]:
    """Token ids of bundled stories, each after an end of text and cut to the context."""
    stories = tokenizer.encode_batch(list(bundled.stories(STORIES)))
    return [[tokenizer.begin_id, *story][:context_length] for story in stories]
