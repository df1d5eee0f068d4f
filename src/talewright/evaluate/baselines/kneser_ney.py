"""N-gram models with modified Kneser-Ney smoothing: what counting alone makes of stories.

Interpolated, with three discounts an order (Chen & Goodman 1998, "An empirical study of smoothing techniques for
language modeling", section 3). Lower orders count after how many different tokens an n-gram stands, but for those at
the beginning of a story, where nothing can stand before. The lowest order is mixed with the uniform distribution over
the whole vocabulary, so that every token has a probability after every beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talewright.evaluate.baselines.ngram_counts import NONE, Stream, count_level, find, look_up
from talewright.evaluate.likelihood import TokenScores

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where the counts are too few to estimate them, as KenLM has them (Heafield et al. 2013)."""


@dataclass(frozen=True)
class Level:
    """The n-grams of one length, and how often each was met. Arrays (n-grams,); of n = 1 every token is one."""

    keys: np.ndarray
    """prefix * V + last: rising."""
    prefix: np.ndarray
    """Number of the n-gram without its last token, in the level below."""
    last: np.ndarray
    """The last token."""
    suffix: np.ndarray
    """Number of the n-gram without its first token, in the level below."""
    counts: np.ndarray
    at_start: np.ndarray
    """Whether it begins a story."""


@dataclass(frozen=True)
class Order:
    """The estimates of one order."""

    probability: np.ndarray
    """Of the last token of each n-gram after the others: (n-grams,)."""
    backoff: np.ndarray
    """Of each context, what is left for the tokens that were never met after it: (contexts,)."""
    best: np.ndarray
    """The likeliest token after each context: (contexts,)."""
    best_probability: np.ndarray


def story_stream(stories: Sequence[np.ndarray], eos_id: int) -> tuple[Stream, np.ndarray]:
    """Stories between two ends of text each, and which places hold a token that is predicted: all but the first."""
    lengths = np.array([len(story) + 2 for story in stories], dtype=np.int64)
    ids = np.full(lengths.sum(), eos_id, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    predicted = np.ones(len(ids), dtype=bool)
    predicted[starts] = False
    inside = predicted.copy()
    inside[starts + lengths - 1] = False
    ids[inside] = np.concatenate([np.empty(0, dtype=np.int64), *stories])
    return Stream.of(ids, lengths), predicted


def count_grams(stories: Sequence[np.ndarray], eos_id: int, vocab_size: int, order: int) -> list[Level]:
    """Count the n-grams of stories, of one token to `order` tokens. Stories are ids without an end of text."""
    stream, predicted = story_stream(stories, eos_id)
    none = np.zeros(vocab_size, dtype=np.int64)
    tokens = np.bincount(stream.ids[predicted], minlength=vocab_size)
    every = np.arange(vocab_size)
    levels, numbers = [Level(every, none, every, none, tokens, none.astype(bool))], stream.ids
    for n in range(2, order + 1):
        shorter = numbers
        keys, first, counts, numbers = count_level(stream, shorter, n, vocab_size)
        prefix, last = np.divmod(keys, vocab_size)
        levels.append(Level(keys, prefix, last, shorter[first + 1], counts, ~predicted[first]))
    return levels


class KneserNey:
    """An n-gram model of the counts that `count_grams` gave, of that order or a lower one."""

    def __init__(self, levels: Sequence[Level], order: int, eos_id: int) -> None:
        self.levels, self.eos_id, self.vocab_size = levels[:order], eos_id, len(levels[0].counts)
        self.orders = [_lowest(levels[0].counts if order == 1 else _company(levels[0], levels[1]))]
        for n in range(2, order + 1):
            level = levels[n - 1]
            counts = level.counts if n == order else _company(level, levels[n])
            contexts = levels[n - 2].suffix  # of each context, which one it is without its first token
            self.orders.append(_next(level, counts, contexts, self.orders[-1]))

    def distribution(self, story: Sequence[int]) -> np.ndarray:
        """Probability of each token after the beginning of a story: (V,)."""
        history, found = [self.eos_id, *story], self.orders[0].probability
        for n in range(2, len(self.orders) + 1):
            context = self._number(history[1 - n :]) if len(history) >= n - 1 else NONE
            if context == NONE:
                break  # nor is any longer one known
            level, order = self.levels[n - 1], self.orders[n - 1]
            met = slice(*np.searchsorted(level.keys, [context * self.vocab_size, (context + 1) * self.vocab_size]))
            found = order.backoff[context] * found
            found[level.last[met]] = order.probability[met]
        return found

    def _number(self, tokens: Sequence[int]) -> int:
        """The number of an n-gram in its level, NONE where it was not met."""
        number = tokens[0]
        for level, token in zip(self.levels[1:], tokens[1:], strict=False):
            if number != NONE:
                number = int(find(level.keys, np.array([number * self.vocab_size + token]))[0])
        return number

    def score(self, stories: Sequence[np.ndarray]) -> TokenScores:
        """Score each token of whole stories as `likelihood.score_tokens` does."""
        stream, predicted = story_stream(stories, self.eos_id)
        places = np.flatnonzero(predicted)
        lengths = np.array([len(story) + 1 for story in stories], dtype=np.int64)
        before = np.arange(len(places)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1  # tokens, with the first
        probability = self.orders[0].probability[stream.ids[places]]
        best = np.full(len(places), self.orders[0].best[0])
        numbers = stream.ids
        for n, (level, order) in enumerate(zip(self.levels[1:], self.orders[1:], strict=True), 2):
            shorter = numbers
            numbers = look_up(stream, shorter, n, self.vocab_size, level.keys)
            begin = np.where(before >= n - 1, places - n + 1, 0)
            context = np.where(before >= n - 1, shorter[begin], NONE)
            whole = np.where(context != NONE, numbers[begin], NONE)
            known, met = context != NONE, whole != NONE
            probability[known] *= order.backoff[context[known]]
            probability[met] = order.probability[whole[met]]
            best[known] = order.best[context[known]]
        return TokenScores(
            losses=-np.log(probability).astype(np.float32), hits=best == stream.ids[places], lengths=lengths
        )


def _lowest(counts: np.ndarray) -> Order:
    """The estimates of single tokens, mixed with the uniform distribution. counts (V,)."""
    shares, backoff = _discounted(counts, np.zeros(len(counts), dtype=np.int64), 1)
    probability = shares + backoff[0] / len(counts)
    best = probability.argmax()
    return Order(probability, backoff, np.array([best]), probability[[best]])


def _next(level: Level, counts: np.ndarray, parents: np.ndarray, below: Order) -> Order:
    """The estimates of n-grams from their counts and the estimates of those shorter by one.

    parents: of each context (an n-gram of the level below), the number of the one without its first token.
    """
    context = level.prefix
    shares, backoff = _discounted(counts, context, len(parents))
    probability = shares + backoff[context] * below.probability[level.suffix]
    # The likeliest token after a context is one that was met after it, or what is likeliest after its parent.
    best, best_probability = below.best[parents], backoff * below.best_probability[parents]
    highest = np.zeros(len(parents))
    np.maximum.at(highest, context, probability)
    winners = np.flatnonzero((probability == highest[context]) & (probability >= best_probability[context]))[::-1]
    best[context[winners]] = level.last[winners]  # of equals, the first
    best_probability[context[winners]] = probability[winners]
    return Order(probability, backoff, best, best_probability)


def _company(level: Level, longer: Level) -> np.ndarray:
    """In how many different company each n-gram stands: before how many tokens; how often, where it begins a story."""
    found = np.bincount(longer.suffix, minlength=len(level.counts))
    return np.where(level.at_start, level.counts, found)


def _discounted(counts: np.ndarray, context: np.ndarray, contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of each n-gram among those of its context, after the discount, and what that leaves in each context."""
    discount = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
    total = np.bincount(context, counts, minlength=contexts)
    shares = (counts - discount) / total[context]
    left = np.bincount(context, discount, minlength=contexts)
    return shares, np.divide(left, total, out=np.ones(contexts), where=total > 0)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """What is taken from counts of 1, of 2, and of 3 or more."""
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return FALLBACK
    share = n1 / (n1 + 2 * n2)
    found = 1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3
    return found if all(0 < value <= times for times, value in enumerate(found, 1)) else FALLBACK
