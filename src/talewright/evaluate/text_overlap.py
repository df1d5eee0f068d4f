"""What of some texts stands word for word in others: exact, over texts of any size, in memory that does not grow with
them.

The few texts that were told are indexed, all their n-grams by number (`grams.py`); the many that they may have been
copied from pass by in slices. At each place of a slice n grows as long as the n-gram there is one of the told ones.
Few places last to n = 10, so that this is quick, and nothing but the numbers met is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from talewright.evaluate.baselines.ngram_counts import NONE, Stream, count_level, find
from talewright.evaluate.generation.ngrams import words_of

SLICE_WORDS = 300_000
"""Words of a slice of the many texts."""
LONGEST = 256
"""Words of a passage, at most: a longer one counts as this long."""


@dataclass
class _Level:
    """The distinct n-grams of one length of the told texts."""

    keys: np.ndarray
    numbers: np.ndarray
    """Which one begins at each word of the told texts: (N,), NONE at the last ones of a text."""
    story: np.ndarray
    """The first of the many texts that holds each n-gram, NONE where none does yet."""


class Copies:
    """What of the told texts stands in those that `read` was given."""

    def __init__(self, told: Sequence[str], longest: int = LONGEST, nearest: bool = True) -> None:
        """longest: words of the longest passages that are looked for; nearest: whether `nearest` is wanted, which takes
        time and memory for each pair of a told text and one of a slice.
        """
        self.words = [words_of(text) for text in told]
        self.longest, self.texts_read = longest, 0
        self._ids: dict[str, int] = {}
        ids = [self._ids.setdefault(word, len(self._ids)) for words in self.words for word in words]
        self.lengths = np.array([len(words) for words in self.words], dtype=np.int64)
        self.stream = Stream.of(np.array(ids, dtype=np.int64), self.lengths)
        size = len(self._ids)
        self._levels = [_Level(np.arange(size), self.stream.ids, np.full(size, NONE))]
        self._overlap = _Overlap(self._level(2).numbers, self.lengths) if nearest else None

    def read(self, texts: Iterable[Sequence[str]]) -> None:
        """Let texts pass by, each as its words (`words_of`)."""
        for some in _slices(texts):
            self._read_slice(some)
            self.texts_read += len(some)

    def passages(self) -> np.ndarray:
        """The longest passage met that begins at each word of the told texts, in words: (N,) int64."""
        found = np.zeros(len(self.stream.ids), dtype=np.int64)
        for n, level in enumerate(self._levels, 1):
            begins = level.numbers != NONE
            begins[begins] = level.story[level.numbers[begins]] != NONE
            found[begins] = n
        return found

    def source(self, place: int, n: int) -> int:
        """The first text read that holds the n words from that place on; NONE where none does."""
        number = self._levels[n - 1].numbers[place] if 0 < n <= len(self._levels) else NONE
        return NONE if number == NONE else int(self._levels[n - 1].story[number])

    def shares(self, n: int) -> np.ndarray:
        """Of each told text, the share of its n-grams that were met, 0 where it has none: (texts,)."""
        met = self.passages() >= n
        every = np.maximum(self.lengths - n + 1, 0)
        starts = np.cumsum(self.lengths) - self.lengths
        counts = [int(met[start : start + count].sum()) for start, count in zip(starts, every, strict=True)]
        return np.array(counts) / np.maximum(every, 1)

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each told text, the text read that it shares most pairs of words with (the first of such), and its ROUGE-2
        precision against it; NONE and 0 where none shares any.
        """
        if self._overlap is None:
            raise ValueError("these Copies were made without `nearest`")
        return self._overlap.nearest, self._overlap.most / np.maximum(self.lengths - 1, 1)

    def _read_slice(self, texts: Sequence[Sequence[str]]) -> None:
        lengths = np.array([len(words) for words in texts], dtype=np.int64)
        known = self._ids
        ids = [known.get(word, NONE) for words in texts for word in words]
        stream = Stream.of(np.array(ids, dtype=np.int64), lengths)
        story = np.repeat(np.arange(len(texts)) + self.texts_read, lengths)
        places = np.flatnonzero(stream.ids != NONE)
        numbers, n = stream.ids[places], 1
        while len(places):
            level = self._level(n)
            fresh = level.story[numbers] == NONE
            level.story[numbers[fresh][::-1]] = story[places[fresh]][::-1]  # of several, the first
            if n == 2 and self._overlap is not None:
                self._overlap.add(numbers, story[places] - self.texts_read, len(texts), self.texts_read)
            n += 1
            if n > self.longest:
                break
            fits = stream.left[places] >= n
            places, numbers = places[fits], numbers[fits]
            following = stream.ids[places + n - 1]
            numbers = np.where(following == NONE, NONE, find(self._level(n).keys, numbers * len(self._ids) + following))
            places, numbers = places[numbers != NONE], numbers[numbers != NONE]

    def _level(self, n: int) -> _Level:
        while len(self._levels) < n:
            shorter, longer = self._levels[-1].numbers, len(self._levels) + 1
            keys, _, _, numbers = count_level(self.stream, shorter, longer, max(1, len(self._ids)))
            self._levels.append(_Level(keys, numbers, np.full(len(keys), NONE)))
        return self._levels[n - 1]


class _Overlap:
    """How many pairs of words each told text shares with each text that passes by, a pair at most as often as it stands
    in both. The second time that a pair stands in a text it is another feature than the first, the third time again:
    texts then share as many features as pairs.
    """

    def __init__(self, pairs: np.ndarray, lengths: np.ndarray) -> None:
        """pairs: the number of the pair that begins at each word of the told texts (N,), NONE at the last of each."""
        self.told = len(lengths)
        owner = np.repeat(np.arange(self.told), lengths)[pairs != NONE]
        self.times = int(lengths.max(initial=1)) + 1  # a pair stands in a text less often than this
        features = _features(pairs[pairs != NONE], owner, self.times)
        order = np.lexsort((owner, features))
        self.keys, self.starts = np.unique(features[order], return_index=True)
        self.owners = owner[order]
        self.ends = np.append(self.starts[1:], len(order))
        self.most = np.zeros(self.told, dtype=np.int64)
        self.nearest = np.full(self.told, NONE)

    def add(self, pairs: np.ndarray, text: np.ndarray, texts: int, first: int) -> None:
        """Pairs that stand in texts numbered from 0 to `texts`, whose numbers among all begin with `first`."""
        if not self.told:
            return
        features = _features(pairs, text, self.times)
        found = find(self.keys, features)
        text, found = text[found != NONE], found[found != NONE]
        counts = self.ends[found] - self.starts[found]  # told texts that have the feature
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        owners = self.owners[np.repeat(self.starts[found], counts) + within]
        shared = np.bincount(np.repeat(text, counts) * self.told + owners, minlength=texts * self.told)
        shared = shared.reshape(texts, self.told)
        best = shared.argmax(0)
        most = shared[best, np.arange(self.told)]
        better = most > self.most
        self.nearest[better], self.most[better] = best[better] + first, most[better]


def _features(pairs: np.ndarray, text: np.ndarray, times: int) -> np.ndarray:
    """pair * times + which time it stands in its text, from 0; `times` where that is as often or more."""
    order = np.lexsort((pairs, text))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (pairs[order][1:] == pairs[order][:-1]) & (text[order][1:] == text[order][:-1])
    index = np.arange(len(order))
    since = np.maximum.accumulate(np.where(same, 0, index))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = index - since
    return np.where(rank < times, pairs * times + rank, NONE)


def _slices(texts: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    some: list[Sequence[str]] = []
    count = 0
    for words in texts:
        some.append(words)
        count += len(words)
        if count >= SLICE_WORDS:
            yield some
            some, count = [], 0
    if some:
        yield some
