"""Stories that the splits of a corpus share, or that one has twice, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from talewright.evaluate.text_overlap import OverlapSearch

N = 10
"""Words of an n-gram that counts as copied: few agree for so long by chance, or because stories are alike."""
DIGEST = np.dtype([("first", "u8"), ("second", "u8")])
"""A hash of a text, compared as two numbers."""


class SplitOverlap:
    """Counts stories that are in two splits, or twice in one. Of a training story, only a 128-bit hash is kept."""

    def __init__(self, held_out: Sequence[str]) -> None:
        self.search = OverlapSearch(held_out, max_match=N, nearest=False)
        self.hashes = bytearray()

    def observe(self, texts: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Pass the training stories through, each as its words, and record them."""
        batch: list[Sequence[str]] = []
        for words in texts:
            self.hashes += _digest(words)
            batch.append(words)
            if len(batch) == 1000:
                self.search.read(batch)
                batch = []
            yield words
        self.search.read(batch)

    def figures(self) -> dict[str, int]:
        """Counts of stories."""
        held_out = np.frombuffer(b"".join(map(_digest, self.search.words)), DIGEST)
        training = np.unique(np.frombuffer(self.hashes, DIGEST))
        return {
            "training_stories": self.search.texts_read,
            "held_out_stories": len(self.search.words),
            "duplicates_in_training": self.search.texts_read - len(training),
            "in_both": int(np.isin(held_out, training).sum()),
            "half_in_training": int((self.search.ngram_shares(N) >= 0.5).sum()),
        }


def _digest(words: Sequence[str]) -> bytes:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=DIGEST.itemsize).digest()
