"""An exact search for what a few texts share, word for word, with a corpus of any size, in bounded memory.

The few texts are indexed: all their n-grams have numbers (`ngrams.py`). The corpus is read in slices. At each position
of a slice, n grows as long as the n-gram there occurs in the few texts. Few positions last to n = 10, so this is fast,
and only the numbers of the n-grams that were found are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from talewright.evaluate.ngrams import MISSING, IdSequences, find, look_up, number_ngrams, words_of

SLICE_WORDS = 300_000
"""Words of the corpus that are searched at once."""
MAX_MATCH = 256
"""Words of the longest match: longer ones count as this long."""


@dataclass
class _IndexLevel:
    """The distinct n-grams of one length in the few texts."""

    keys: np.ndarray
    numbers: np.ndarray
    """The number of the n-gram that starts at each word: (N,), MISSING at the last words of a text."""
    source: np.ndarray
    """The first corpus text with each n-gram, MISSING if there is none so far."""


class OverlapSearch:
    """What a few texts share with the corpus given to `read`."""

    def __init__(self, texts: Sequence[str], max_match: int = MAX_MATCH, nearest: bool = True) -> None:
        """max_match: words of the longest matches to search for; nearest: whether `nearest` will be called, which takes
        time and memory for each pair of a text and a corpus text of a slice.
        """
        self.words = [words_of(text) for text in texts]
        self.max_match, self.texts_read = max_match, 0
        self._ids: dict[str, int] = {}
        ids = [self._ids.setdefault(word, len(self._ids)) for words in self.words for word in words]
        self.lengths = np.array([len(words) for words in self.words], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.sequences = IdSequences.of(np.array(ids, dtype=np.int64), self.lengths)
        size = len(self._ids)
        self._levels = [_IndexLevel(np.arange(size), self.sequences.ids, np.full(size, MISSING))]
        self._nearest = _NearestTexts(self._level(2).numbers, self.lengths) if nearest else None

    def read(self, corpus: Iterable[Sequence[str]]) -> None:
        """Search corpus texts, each given as its words (`words_of`)."""
        for texts in _slices(corpus):
            self._read_slice(texts)
            self.texts_read += len(texts)

    def matches(self) -> np.ndarray:
        """Length in words of the longest match that starts at each word of the texts: (N,) int64."""
        lengths = np.zeros(len(self.sequences.ids), dtype=np.int64)
        for n, level in enumerate(self._levels, 1):
            shared = level.numbers != MISSING
            shared[shared] = level.source[level.numbers[shared]] != MISSING
            lengths[shared] = n
        return lengths

    def source(self, position: int, n: int) -> int:
        """The first corpus text that has the n words from a position on; MISSING if none has."""
        number = self._levels[n - 1].numbers[position] if 0 < n <= len(self._levels) else MISSING
        return MISSING if number == MISSING else int(self._levels[n - 1].source[number])

    def ngram_shares(self, n: int) -> np.ndarray:
        """For each text, the share of its n-grams that the corpus has, 0 if it has no n-grams: (texts,)."""
        starts_ngram = self.matches() >= n
        counts = np.maximum(self.lengths - n + 1, 0)
        shared = [starts_ngram[start : start + count].sum() for start, count in zip(self.starts, counts, strict=True)]
        return np.array(shared) / np.maximum(counts, 1)

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """For each text, the corpus text with which it shares the most 2-grams (the first of several), and its ROUGE-2
        precision against that text; MISSING and 0 if none shares any.
        """
        if self._nearest is None:
            raise ValueError("this search was made with nearest=False")
        return self._nearest.nearest, self._nearest.most / np.maximum(self.lengths - 1, 1)

    def _read_slice(self, texts: Sequence[Sequence[str]]) -> None:
        lengths = np.array([len(words) for words in texts], dtype=np.int64)
        ids = [self._ids.get(word, MISSING) for words in texts for word in words]
        sequences = IdSequences.of(np.array(ids, dtype=np.int64), lengths)
        source = np.repeat(np.arange(len(texts)) + self.texts_read, lengths)
        numbers = sequences.ids
        for n in range(1, self.max_match + 1):
            level = self._level(n)
            if n > 1:
                numbers = look_up(sequences, numbers, n, len(self._ids), level.keys)
            positions = np.flatnonzero(numbers != MISSING)
            if not len(positions):
                break
            shared = numbers[positions]
            new = level.source[shared] == MISSING
            level.source[shared[new][::-1]] = source[positions[new]][::-1]  # the first of several
            if n == 2 and self._nearest is not None:
                self._nearest.add(shared, source[positions] - self.texts_read, len(texts), self.texts_read)

    def _level(self, n: int) -> _IndexLevel:
        while len(self._levels) < n:
            shorter, longer = self._levels[-1].numbers, len(self._levels) + 1
            keys, _, _, numbers = number_ngrams(self.sequences, shorter, longer, max(1, len(self._ids)))
            self._levels.append(_IndexLevel(keys, numbers, np.full(len(keys), MISSING)))
        return self._levels[n - 1]


class _NearestTexts:
    """Counts the 2-grams that each text shares with each corpus text, a 2-gram at most as often as it occurs in both.
    The second occurrence of a 2-gram in a text is another feature than the first, and so on, so two texts share as many
    features as 2-grams.
    """

    def __init__(self, pairs: np.ndarray, lengths: np.ndarray) -> None:
        """pairs: the number of the 2-gram that starts at each word of the texts (N,), MISSING at the last of each."""
        self.texts = len(lengths)
        owner = np.repeat(np.arange(self.texts), lengths)[pairs != MISSING]
        self.occurrences = int(lengths.max(initial=1)) + 1  # more than a 2-gram has in any text
        features = _features(pairs[pairs != MISSING], owner, self.occurrences)
        order = np.lexsort((owner, features))
        self.keys, self.starts = np.unique(features[order], return_index=True)
        self.owners = owner[order]
        self.ends = np.append(self.starts[1:], len(order))
        self.most = np.zeros(self.texts, dtype=np.int64)
        self.nearest = np.full(self.texts, MISSING)

    def add(self, pairs: np.ndarray, text: np.ndarray, count: int, first: int) -> None:
        """2-grams of `count` corpus texts, and the index of the text of each; the first text has number `first`."""
        if not self.texts:
            return
        keys = find(self.keys, _features(pairs, text, self.occurrences))
        text, keys = text[keys != MISSING], keys[keys != MISSING]
        owner_counts = self.ends[keys] - self.starts[keys]  # texts that have the feature
        within = np.arange(owner_counts.sum()) - np.repeat(np.cumsum(owner_counts) - owner_counts, owner_counts)
        owners = self.owners[np.repeat(self.starts[keys], owner_counts) + within]
        shared = np.bincount(np.repeat(text, owner_counts) * self.texts + owners, minlength=count * self.texts)
        shared = shared.reshape(count, self.texts)
        best = shared.argmax(0)
        most = shared[best, np.arange(self.texts)]
        better = most > self.most
        self.nearest[better], self.most[better] = best[better] + first, most[better]


def _features(pairs: np.ndarray, text: np.ndarray, occurrences: int) -> np.ndarray:
    """pair * occurrences + how often it occurs earlier in its text; MISSING if that is `occurrences` or more."""
    order = np.lexsort((pairs, text))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (pairs[order][1:] == pairs[order][:-1]) & (text[order][1:] == text[order][:-1])
    index = np.arange(len(order))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = index - np.maximum.accumulate(np.where(same, 0, index))
    return np.where(rank < occurrences, pairs * occurrences + rank, MISSING)


def _slices(corpus: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    texts: list[Sequence[str]] = []
    count = 0
    for words in corpus:
        texts.append(words)
        count += len(words)
        if count >= SLICE_WORDS:
            yield texts
            texts, count = [], 0
    if texts:
        yield texts
