"""What usually comes next in the training stories: a draft for speculative decoding, kept in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from talewright.data import Split
from talewright.errors import UserError
from talewright.files import error_reason

DRAFT = "draft.safetensors"
N = 3
"""Tokens of the longest context."""
MOST_READ = 1 << 22
"""Training tokens that are counted, in less than a second."""
MOST_CONTEXTS = 1 << 17
"""Contexts that are kept, the most frequent ones: 1.5 MB."""


class NgramDraft:
    """The most frequent token after each context of 1 to N tokens; a longer context comes before a shorter one."""

    def __init__(self, contexts: np.ndarray, following: np.ndarray, vocab_size: int) -> None:
        """contexts (n,), int64, as numbered by `_number`; following (n,): the token after each."""
        self.vocab_size = vocab_size
        self._following = dict(zip(contexts.tolist(), following.tolist(), strict=True))

    def __call__(self, ids: Sequence[int], count: int) -> list[int]:
        """Up to `count` tokens that may come after these; fewer where no context is known."""
        drafted: list[int] = []
        context = list(ids[-N:])
        while len(drafted) < count:
            starts = range(max(0, len(context) - N), len(context))
            numbers = (_number(context[start:], self.vocab_size) for start in starts)
            token = next((self._following[number] for number in numbers if number in self._following), None)
            if token is None:
                break
            drafted.append(token)
            context.append(token)
        return drafted

    @classmethod
    def count(cls, ids: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
        """The contexts in `ids` that occur at least twice, (n,) int64, and the most frequent token after each, (n,)."""
        lengths = [n for n in range(1, N + 1) if (vocab_size + 1) ** n * vocab_size < 1 << 63]  # numbered in 64 bits
        found = [_most_frequent(ids, length, vocab_size) for length in lengths]
        contexts, following, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = np.argsort(-counts, kind="stable")[:MOST_CONTEXTS]
        kept = kept[counts[kept] > 1]
        return contexts[kept], following[kept]


def write_draft(folder: Path, split: Split, vocab_size: int) -> None:
    """Count the first tokens of the training stories, and write the table."""
    ids = split.tokens(0, min(split.n_tokens, MOST_READ))
    contexts, following = NgramDraft.count(ids, vocab_size)
    save_file({"contexts": contexts, "following": following.astype(np.int32)}, folder / DRAFT)


def read_draft(folder: Path, vocab_size: int) -> NgramDraft | None:
    """The table of a run folder; None if it has none. Raises UserError if it is damaged."""
    path = folder / DRAFT
    if not path.exists():
        return None
    try:
        tables = load_file(path)
        contexts, following = tables["contexts"], tables["following"]
        if contexts.shape != following.shape or contexts.ndim != 1 or not np.isin(following, range(vocab_size)).all():
            raise ValueError("it is of another tokenizer")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: {error_reason(error)}. Delete it; it only makes generation faster"
        ) from None
    return NgramDraft(contexts, following, vocab_size)


def _number(context: Sequence[int], vocab_size: int) -> int:
    """A number that no other context of up to N tokens has."""
    number = 0
    for token in context:
        number = number * (vocab_size + 1) + token + 1
    return number


def _most_frequent(ids: np.ndarray, length: int, vocab_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each context of this length, the most frequent token after it, and how often the context occurs: (n,) each."""
    n = max(0, len(ids) - length)
    pairs = np.zeros(n, dtype=np.int64)  # of a context and the token after it
    for offset in range(length):
        pairs = pairs * (vocab_size + 1) + ids[offset : offset + n] + 1
    pairs, counts = np.unique(pairs * vocab_size + ids[length:], return_counts=True)
    contexts = pairs // vocab_size
    first = np.flatnonzero(np.diff(contexts, prepend=-1))  # pair of each context
    if not len(first):
        return contexts, pairs, counts
    best = np.maximum.reduceat((counts << 32) - np.arange(len(pairs)), first)  # of equal counts, the first pair's
    return contexts[first], pairs[-best % (1 << 32)] % vocab_size, np.add.reduceat(counts, first)
