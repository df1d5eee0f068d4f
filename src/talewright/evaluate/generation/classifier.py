"""A classifier two-sample test: can a classifier distinguish generated from real stories?

The features need no model: the frequencies of the most common words (mostly function words) and of the most common
pairs of neighboring words or punctuation marks, of punctuation and classes of characters, and the lengths of words,
sentences and the story. They capture style, not sense.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from talewright.evaluate.language import language_of
from talewright.evaluate.ngrams import WORD, Ngram, ngrams, words_of

COMMON = 100
"""Number of the most common words of the real stories, and of pairs, whose frequencies are features."""
FOLDS, RIDGE, CLIP = 5, 100.0, 5.0
"""Folds of the cross-validation, weight of the L2 penalty, largest absolute value of a feature."""
FEWEST = 10
"""Stories of each kind. From fewer, a classifier learns nothing, which would look like stories as good as real ones."""
_TOKEN = re.compile(rf"{WORD}|[^\w\s]")
_PUNCTUATION = ".,!?\"'-:;“”’\n。！？，、：；「」"
_SENTENCE_ENDS = ".!?。！？"


class RealStyle:
    """The style of real stories, as numbers; that of other texts is standardized by it."""

    def __init__(self, real: Sequence[str]) -> None:
        self.language = language_of(real)
        self.common = _most_common(Counter(word for text in real for word in words_of(text)))
        self.pairs = _most_common(Counter(pair for text in real for pair in _pairs(text)))
        raw = np.stack([self._raw(text) for text in real])
        self.mean, self.scale = raw.mean(0), raw.std(0)
        self.scale[self.scale == 0] = 1
        self.features = (raw - self.mean) / self.scale

    def features_of(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, features), float64."""
        return (np.stack([self._raw(text) for text in texts]) - self.mean) / self.scale

    def _raw(self, text: str) -> np.ndarray:
        words, characters = words_of(text), max(1, len(text))
        counts, count = Counter(words), max(1, len(words))
        sentences = max(1, sum(text.count(mark) for mark in _SENTENCE_ENDS))
        pairs = Counter(_pairs(text))
        frequencies = [counts[word] / count for word in self.common] + [pairs[pair] / count for pair in self.pairs]
        punctuation = [text.count(mark) / characters for mark in _PUNCTUATION]
        classes = [sum(map(kind, text)) / characters for kind in (str.isupper, str.isdigit, str.isspace, str.isalpha)]
        lengths = [np.log(count), len(text) / count, count / sentences, len(counts) / count]
        return np.array([*frequencies, *punctuation, *classes, *lengths])


def _pairs(text: str) -> list[Ngram]:
    return ngrams(_TOKEN.findall(text.lower()), 2)


def _most_common(counts: Counter[Any]) -> list[Any]:
    return [item for item, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:COMMON]]


def classifier_accuracy(generated: Sequence[str], real: RealStyle) -> float | None:
    """Accuracy of a linear classifier of generated against real texts: 0.5 if they cannot be distinguished, 1 if they
    always can (a classifier two-sample test, Lopez-Paz & Oquab 2017, arXiv:1610.06545; ridge regression, 5-fold
    cross-validation). As many of each are used as there are of the fewer; None if these are too few to learn from.
    """
    count = min(len(generated), len(real.features))
    if count < FEWEST:
        return None
    points = np.concatenate((real.features_of(generated[:count]), real.features[:count])).clip(-CLIP, CLIP)
    labels, fold = np.repeat((1.0, -1.0), count), np.tile(np.arange(count) % FOLDS, 2)
    correct = 0
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        mean = points[train].mean(0)
        x, y = points[train] - mean, labels[train]
        weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
        correct += int((((points[test] - mean) @ weights > 0) == (labels[test] > 0)).sum())
    return correct / (2 * count)
