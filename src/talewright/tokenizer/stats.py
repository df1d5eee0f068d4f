"""What a tokenizer makes of a corpus: tokens for a word, bytes in a token, the share of its most frequent ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from talewright.tokenizer.base import Tokenizer
from talewright.tokenizer.pieces import pieces

SIZES = (1000, 2000, 4000, 8000, 10000)
BATCH_CHARS = 2**20  # enough to keep all cores busy, little enough to hold


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was counted over some stories; ends of text are not."""

    by_id: np.ndarray
    """Times that each id occurs: (vocab_size,) int64."""
    stories: int
    words: int
    """Runs of characters between white space."""
    n_bytes: int
    """Bytes of the stories in UTF-8."""

    @property
    def tokens(self) -> int:
        return int(self.by_id.sum())


def count(tokenizer: Tokenizer, stories: Iterable[str]) -> Counts:
    """Counts over the stories, which are read once, some at a time."""
    by_id, n_stories, words = np.zeros(tokenizer.vocab_size, dtype=np.int64), 0, 0
    for batch in batches(stories):
        n_stories += len(batch)
        for some in batches(chain.from_iterable(map(pieces, batch))):
            words += sum(len(piece.split()) for piece in some)
            ids = np.fromiter(chain.from_iterable(tokenizer.encode_batch(some)), dtype=np.int64)
            by_id += np.bincount(ids, minlength=tokenizer.vocab_size)
    n_bytes = int(by_id @ tokenizer.byte_lengths)
    return Counts(by_id=by_id, stories=n_stories, words=words, n_bytes=n_bytes)


def coverage(by_id: np.ndarray, sizes: Sequence[int] = SIZES) -> dict[int, float]:
    """For each size N, the share of all tokens that the N most frequent ids hold, from 0 to 1. Nothing counted: 0."""
    total = max(int(by_id.sum()), 1)
    held = np.cumsum(np.sort(by_id)[::-1])
    return {size: int(held[min(size, len(held)) - 1]) / total for size in sizes}


def longest_tokens(tokenizer: Tokenizer, number: int = 20) -> list[str]:
    """The tokens of most bytes, longest first; bytes that are no UTF-8 as U+FFFD."""
    by_length = sorted(range(tokenizer.vocab_size), key=lambda i: (-len(tokenizer.token_bytes[i]), i))
    return [tokenizer.token_bytes[i].decode("utf-8", errors="replace") for i in by_length[:number]]


def describe(tokenizer: Tokenizer, stories: Iterable[str] | None = None) -> dict[str, Any]:
    """The figures of `talewright tokenizer show`, plain enough for JSON; with stories, those about them too."""
    found: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "fingerprint": tokenizer.fingerprint,
        "longest_tokens": longest_tokens(tokenizer),
    }
    if stories is not None:
        counts = count(tokenizer, stories)
        found |= {
            "stories": counts.stories,
            "words": counts.words,
            "bytes": counts.n_bytes,
            "tokens": counts.tokens,
            "tokens_per_word": counts.tokens / max(counts.words, 1),
            "bytes_per_token": counts.n_bytes / max(counts.tokens, 1),
            "coverage": {str(size): share for size, share in coverage(counts.by_id).items()},
        }
    return found


def batches(stories: Iterable[str], chars: int = BATCH_CHARS) -> Iterator[list[str]]:
    """The stories in lists of about so many characters, so that memory does not grow with the corpus."""
    batch: list[str] = []
    held = 0
    for story in stories:
        batch.append(story)
        held += len(story)
        if held >= chars:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
