"""Statistics of a tokenizer on a corpus: tokens per word, bytes per token, the share of its most frequent ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from talewright.tokenizer.base import Tokenizer
from talewright.tokenizer.pieces import group_texts, pieces

SIZES = (1000, 2000, 4000, 8000, 10000)
_GROUP_CHARS = 1 << 20  # enough to keep all cores busy


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """Counts over some stories, without ends of text."""

    by_id: np.ndarray
    """Occurrences of each id: (vocab_size,) int64."""
    stories: int
    words: int
    """Runs of characters between white space."""
    n_bytes: int
    """Bytes of the stories in UTF-8."""

    @property
    def tokens(self) -> int:
        return int(self.by_id.sum())


def count(tokenizer: Tokenizer, stories: Iterable[str]) -> TokenCounts:
    """Counts over the stories, which are read once, some at a time."""
    by_id, n_stories, words = np.zeros(tokenizer.vocab_size, dtype=np.int64), 0, 0
    for group in group_texts(stories, _GROUP_CHARS):
        n_stories += len(group)
        parts = chain.from_iterable(map(pieces, group)) if tokenizer.splits_as_gpt2 else group
        for some in group_texts(parts, _GROUP_CHARS):
            words += sum(len(piece.split()) for piece in some)
            ids = np.fromiter(chain.from_iterable(tokenizer.encode_batch(some)), dtype=np.int64)
            by_id += np.bincount(ids, minlength=tokenizer.vocab_size)
    n_bytes = int(by_id @ tokenizer.byte_lengths)
    return TokenCounts(by_id=by_id, stories=n_stories, words=words, n_bytes=n_bytes)


def coverage(by_id: np.ndarray, sizes: Sequence[int] = SIZES) -> dict[int, float]:
    """For each size N, the share of all tokens that the N most frequent ids hold; 0 without tokens."""
    total = max(int(by_id.sum()), 1)
    cumulative = np.cumsum(np.sort(by_id)[::-1])
    return {size: int(cumulative[min(size, len(cumulative)) - 1]) / total for size in sizes}


def longest_tokens(tokenizer: Tokenizer, number: int = 20) -> list[str]:
    """The tokens with most bytes, longest first; bytes that are not UTF-8 as U+FFFD."""
    by_length = sorted(range(tokenizer.vocab_size), key=lambda i: (-len(tokenizer.token_bytes[i]), i))
    return [tokenizer.token_bytes[i].decode("utf-8", errors="replace") for i in by_length[:number]]


def describe(tokenizer: Tokenizer, stories: Iterable[str] | None = None) -> dict[str, Any]:
    """What `talewright data tokenizer show` prints, as plain values; with stories, also the statistics of these."""
    values: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "fingerprint": tokenizer.fingerprint,
        "longest_tokens": longest_tokens(tokenizer),
    }
    if stories is not None:
        counts = count(tokenizer, stories)
        values |= {
            "stories": counts.stories,
            "words": counts.words,
            "bytes": counts.n_bytes,
            "tokens": counts.tokens,
            "tokens_per_word": counts.tokens / max(counts.words, 1),
            "bytes_per_token": counts.n_bytes / max(counts.tokens, 1),
            "coverage": {str(size): share for size, share in coverage(counts.by_id).items()},
        }
    return values
