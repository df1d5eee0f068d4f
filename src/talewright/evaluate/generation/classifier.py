"""Whether told stories are like real ones as a whole: can they be told apart by how they are written?

What is looked at needs no model: how often the commonest words come (function words for the most part), and the
commonest pairs of neighbours, letters, marks and their kinds, the lengths of words, sentences and story. It sees style,
not sense.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from talewright.evaluate.generation.ngrams import Gram, grams, words_of

COMMON = 100
"""The commonest words of the real stories, and as many pairs of words or marks: their shares are features."""
FOLDS, RIDGE, CLIP = 5, 100.0, 5.0
"""Parts of the texts, judged in turn; how strongly weights are held small; what a feature counts for at most."""
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
MARKS = ".,!?\"'-:;“”’\n"


class Features:
    """How a text is written, as numbers, each in standard deviations of real stories."""

    def __init__(self, real: Sequence[str]) -> None:
        self.common = _commonest(Counter(word for text in real for word in words_of(text)))
        self.pairs = _commonest(Counter(pair for text in real for pair in _pairs(text)))
        raw = np.stack([self._raw(text) for text in real])
        self.mean, self.scale = raw.mean(0), raw.std(0)
        self.scale[self.scale == 0] = 1

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, features), float64."""
        return (np.stack([self._raw(text) for text in texts]) - self.mean) / self.scale

    def _raw(self, text: str) -> np.ndarray:
        words, letters = words_of(text), max(1, len(text))
        counts, count = Counter(words), max(1, len(words))
        sentences = max(1, sum(text.count(mark) for mark in ".!?"))
        together = Counter(_pairs(text))
        shares = [counts[word] / count for word in self.common] + [together[pair] / count for pair in self.pairs]
        marks = [text.count(mark) / letters for mark in MARKS]
        kinds = [sum(map(kind, text)) / letters for kind in (str.isupper, str.isdigit, str.isspace, str.isalpha)]
        sizes = [np.log(count), len(text) / count, count / sentences, len(counts) / count]
        return np.array([*shares, *marks, *kinds, *sizes])


def _pairs(text: str) -> list[Gram]:
    return grams(_TOKEN.findall(text.lower()), 2)


def _commonest(counts: Counter[Any]) -> list[Any]:
    return [item for item, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMON]]


def told_apart(told: Sequence[str], real: Sequence[str], features: Features) -> float:
    """Share of the texts that a linear classifier takes for what they are, told or real: 0.5 where they cannot be told
    apart, 1 where they always can (a two-sample test by a classifier, Lopez-Paz & Oquab 2017, arXiv:1610.06545; ridge
    regression, each fifth of the texts judged by what was learned from the others). As many of each kind are taken
    as there are of the fewer.
    """
    count = min(len(told), len(real))
    points = np.concatenate((features.of(told[:count]), features.of(real[:count]))).clip(-CLIP, CLIP)
    kinds, fold = np.repeat((1.0, -1.0), count), np.tile(np.arange(count) % FOLDS, 2)
    right = 0
    for number in range(FOLDS):
        known, judged = fold != number, fold == number
        middle = points[known].mean(0) if known.any() else 0
        x, y = points[known] - middle, kinds[known]
        weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
        right += int((((points[judged] - middle) @ weights > 0) == (kinds[judged] > 0)).sum())
    return right / (2 * count)


def lengths_agree(told: Sequence[int], real: Sequence[int]) -> float:
    """How much the distributions of lengths have in common: 1 less the largest difference of their cumulative shares
    (the statistic of Kolmogorov and Smirnov).
    """
    every = np.union1d(told, real)
    below = [np.searchsorted(np.sort(lengths), every, side="right") / len(lengths) for lengths in (told, real)]
    return 1 - float(np.abs(below[0] - below[1]).max())
