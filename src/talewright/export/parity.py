"""The proof of an export: what was written is read in a fresh process, and its logits are compared with ours.

The process is a plain Python in which `talewright` cannot be imported: it sees what a user elsewhere would see.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from talewright.config import Recipe
from talewright.data import bundled
from talewright.data.corpus import Corpus, is_corpus
from talewright.data.preparation.request import PreparationRequest, cache_folder
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer

CLIENTS = Path(__file__).parent / "clients"
STORIES = 4
"""Stories that a proof reads."""


@dataclass(frozen=True)
class Proof:
    """What the comparison of an export with its model gave."""

    difference: float
    """The largest between a logit of ours and theirs."""
    bound: float
    """The largest that its precision allows."""
    tokens: int
    stories: int

    @property
    def words(self) -> str:
        return (
            f"largest difference of a logit {self.difference:.2g} (at most {self.bound:.2g} may be) "
            f"over {self.tokens:,} tokens of {self.stories} stories, read in a fresh process"
        )


def prove(model: GPT, client: str, folder: Path, stories: Sequence[Sequence[int]], share: float) -> Proof:
    """Compare the logits of `folder`, as the client reads it, with the model's on these stories (token ids).

    A difference may be `share` of the model's largest logit. Raises UserError where it is more, or where the client
    cannot read the folder.
    """
    with torch.inference_mode():
        ours = [model(torch.tensor([story]))[0].numpy() for story in stories]  # (T, V) each
    theirs = client_logits(client, folder, stories)
    # a client may know of more tokens than the model (padding), not of fewer
    difference = max(float(np.abs(a - b[:, : a.shape[1]]).max()) for a, b in zip(ours, theirs, strict=True))
    largest = max(float(np.abs(logits).max()) for logits in ours)
    proof = Proof(difference, share * max(1.0, largest), sum(map(len, stories)), len(stories))
    if not difference <= proof.bound:  # nor if it is NaN
        raise UserError(
            f"as {client} reads it, it computes something else than our model: {proof.words}; it is not kept"
        )
    return proof


def client_logits(client: str, folder: Path, stories: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Logits (T, V) of each story, by the client in a fresh process. Raises UserError with its last words."""
    with tempfile.TemporaryDirectory() as work:
        given, taken = Path(work) / "stories.npz", Path(work) / "logits.npz"
        np.savez(given, *[np.asarray(story, dtype=np.int64) for story in stories])
        # -P: the folder of the program is not searched for modules
        program = [sys.executable, "-P", str(CLIENTS / "__init__.py")]
        words = [*program, str(CLIENTS / f"{client}.py"), str(folder.resolve()), str(given), str(taken)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=work)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise UserError(f"what was written in {folder} cannot be read in a fresh process: {last}")
        with np.load(taken) as arrays:
            return [arrays[f"arr_{i}"] for i in range(len(stories))]


def proof_stories(recipe: Recipe, tokenizer: Tokenizer) -> list[list[int]]:
    """Real stories after an end of text, as ids: of the run's prepared validation stories where this machine still has
    them, else bundled ones; each no longer than the model's context.
    """
    found = _prepared_stories(recipe, tokenizer)
    if not found:
        return bundled_stories(tokenizer, recipe.model.context_length)
    return [[tokenizer.eos_id, *story][: recipe.model.context_length] for story in found]


def _prepared_stories(recipe: Recipe, tokenizer: Tokenizer) -> list[list[int]]:
    """The first validation stories of the corpus that the run was trained on; none where it is not here any more."""
    try:
        folder = cache_folder(PreparationRequest(recipe.data, recipe.tokenizer, recipe.model.vocab_size))
        corpus = Corpus.open(folder) if is_corpus(folder) else None
    except UserError:  # the files that it was made of are gone, or it is damaged
        return []
    if corpus is None or corpus.tokenizer.fingerprint != tokenizer.fingerprint or "valid" not in corpus.splits:
        return []
    split = corpus.split("valid")
    return [split.story(i).tolist() for i in range(min(STORIES, split.n_stories))]


def bundled_stories(tokenizer: Tokenizer, context_length: int) -> list[list[int]]:
    """The same of bundled stories."""
    found = tokenizer.encode_batch(list(bundled.stories(STORIES)))
    return [[tokenizer.eos_id, *story][:context_length] for story in found]
