"""N-gram language models with modified Kneser-Ney smoothing, as a baseline for trained models.

Interpolated, with three discounts per order (Chen & Goodman 1998, "An empirical study of smoothing techniques for
language modeling", section 3). Lower orders count how many different tokens precede an n-gram, except for n-grams at
the start of a story, which nothing can precede. The lowest order is mixed with the uniform distribution over the
vocabulary, so every token has a probability in every context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from talewright.data import Split
from talewright.data.corpus import evenly_spread
from talewright.evaluate.likelihood import TokenScores
from talewright.evaluate.multiple_choice.scoring import EncodedChoice, Scorer
from talewright.evaluate.ngrams import MISSING, IdSequences, find, look_up, number_ngrams
from talewright.tokenizer import Tokenizer

ORDERS = {"unigram": 1, "bigram": 2, "5-gram": 5}
MAX_TOKENS = 20_000_000
"""Training tokens that are counted: counting takes some 200 bytes for each."""
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Used if the counts are too few to estimate discounts, as in KenLM (Heafield et al. 2013)."""


@dataclass(frozen=True)
class NgramCounts:
    """The distinct n-grams of one length and their counts. Arrays (n-grams,); for n = 1, every token is one."""

    keys: np.ndarray
    """Number of the n-gram without its last token, among the (n-1)-grams, * V + the last token; sorted."""
    suffix: np.ndarray
    """Number of the n-gram without its first token, among the (n-1)-grams."""
    counts: np.ndarray
    at_start: np.ndarray
    """Whether it starts a story."""


@dataclass(frozen=True)
class OrderEstimates:
    """The estimates of one order."""

    probability: np.ndarray
    """Of the last token of each n-gram, given the others: (n-grams,)."""
    backoff: np.ndarray
    """Probability mass that each context leaves to the lower order: (contexts,)."""
    best: np.ndarray
    """The most likely token after each context: (contexts,)."""
    best_probability: np.ndarray


def _sequences(stories: Sequence[np.ndarray], eos_id: int) -> tuple[IdSequences, np.ndarray]:
    """Stories, each between two end-of-text tokens, and a mask of the predicted tokens: all but the first of each."""
    lengths = np.array([len(story) + 2 for story in stories], dtype=np.int64)
    eos = np.array([eos_id], dtype=np.int64)
    ids = np.concatenate([eos[:0], *(array for story in stories for array in (eos, story, eos))])
    predicted = np.ones(len(ids), dtype=bool)
    predicted[np.cumsum(lengths) - lengths] = False
    return IdSequences.of(ids, lengths), predicted


def count_ngrams(stories: Sequence[np.ndarray], eos_id: int, vocab_size: int, order: int) -> list[NgramCounts]:
    """Count the n-grams of stories, for n from 1 to `order`. Stories are ids without end-of-text tokens."""
    sequences, predicted = _sequences(stories, eos_id)
    zeros, tokens = np.zeros(vocab_size, dtype=np.int64), np.arange(vocab_size)
    unigrams = np.bincount(sequences.ids[predicted], minlength=vocab_size)
    levels, numbers = [NgramCounts(tokens, zeros, unigrams, zeros.astype(bool))], sequences.ids
    for n in range(2, order + 1):
        shorter = numbers
        keys, first, counts, numbers = number_ngrams(sequences, shorter, n, vocab_size)
        levels.append(NgramCounts(keys, shorter[first + 1], counts, ~predicted[first]))
    return levels


class KneserNey:
    """An n-gram model from the counts of `count_ngrams`, of their order or a lower one."""

    def __init__(self, levels: Sequence[NgramCounts], order: int, eos_id: int) -> None:
        self.levels, self.eos_id, self.vocab_size = levels[:order], eos_id, len(levels[0].counts)
        counts = levels[0].counts if order == 1 else _continuation_counts(levels[0], levels[1])
        self.orders = [_lowest_order(counts)]
        for n in range(2, order + 1):
            level = levels[n - 1]
            counts = level.counts if n == order else _continuation_counts(level, levels[n])
            self.orders.append(_higher_order(level, counts, levels[n - 2].suffix, self.orders[-1], self.vocab_size))

    def distribution(self, story: Sequence[int]) -> np.ndarray:
        """Probability of each next token after the start of a story: (V,)."""
        history, probability = [self.eos_id, *story], self.orders[0].probability
        for n in range(2, len(self.orders) + 1):
            context = self._number(history[1 - n :]) if len(history) >= n - 1 else MISSING
            if context == MISSING:
                break  # no longer context occurs either
            level, order = self.levels[n - 1], self.orders[n - 1]
            seen = slice(*np.searchsorted(level.keys, [context * self.vocab_size, (context + 1) * self.vocab_size]))
            probability = order.backoff[context] * probability
            probability[level.keys[seen] % self.vocab_size] = order.probability[seen]
        return probability

    def _number(self, tokens: Sequence[int]) -> int:
        """The number of an n-gram among those of its length, MISSING if it does not occur."""
        number = tokens[0]
        for level, token in zip(self.levels[1:], tokens[1:], strict=False):
            if number != MISSING:
                number = int(find(level.keys, np.array([number * self.vocab_size + token]))[0])
        return number

    def score(self, stories: Sequence[np.ndarray]) -> TokenScores:
        """Score each token of whole stories, like `likelihood.score_tokens`."""
        sequences, predicted = _sequences(stories, self.eos_id)
        positions = np.flatnonzero(predicted)
        targets = sequences.ids[positions]
        lengths = np.array([len(story) + 1 for story in stories], dtype=np.int64)
        preceding = np.arange(len(positions)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1  # tokens
        probability = self.orders[0].probability[targets]
        best = np.full(len(positions), self.orders[0].best[0])
        numbers = sequences.ids
        for n, (level, order) in enumerate(zip(self.levels[1:], self.orders[1:], strict=True), 2):
            shorter = numbers
            numbers = look_up(sequences, shorter, n, self.vocab_size, level.keys)
            start = np.where(preceding >= n - 1, positions - n + 1, 0)
            context = np.where(preceding >= n - 1, shorter[start], MISSING)
            whole = np.where(context != MISSING, numbers[start], MISSING)
            known, seen = context != MISSING, whole != MISSING
            probability[known] *= order.backoff[context[known]]
            probability[seen] = order.probability[whole[seen]]
            best[known] = order.best[context[known]]
        return TokenScores(losses=-np.log(probability).astype(np.float32), correct=best == targets, lengths=lengths)


def train_ngram_models(
    train: Split, tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS, orders: Mapping[str, int] = ORDERS
) -> tuple[dict[str, KneserNey], int]:
    """N-gram models of the training stories, by their names in `orders`, and the number of tokens counted.

    Of more than `max_tokens`, about as many are counted, in stories evenly spread over all: one of several files is no
    fair sample of them.
    """
    number = math.ceil(train.n_stories * max_tokens / train.n_tokens)
    stories, _ = train.stories(evenly_spread(number, train.n_stories))
    tokens = sum(len(story) + 1 for story in stories)
    levels = count_ngrams(stories, tokenizer.eos_id, tokenizer.vocab_size, max(orders.values()))
    return {name: KneserNey(levels, order, tokenizer.eos_id) for name, order in orders.items()}, tokens


def ngram_scorer(model: KneserNey) -> Scorer:
    """An n-gram model as a scorer of choices. A sequence's first token, an end of text, is never scored."""

    def score(choices: Sequence[EncodedChoice]) -> np.ndarray:
        tokens = model.score([choice.ids[1:] for choice in choices])
        losses = np.split(tokens.losses.astype(np.float64), np.cumsum(tokens.lengths)[:-1])
        return np.array([-own[choice.start - 1 : -1].sum() for choice, own in zip(choices, losses, strict=True)])

    return score


def _lowest_order(counts: np.ndarray) -> OrderEstimates:
    """The estimates of single tokens, mixed with the uniform distribution. counts (V,)."""
    shares, backoff = _discounted(counts, np.zeros(len(counts), dtype=np.int64), 1)
    probability = shares + backoff[0] / len(counts)
    best = probability.argmax()
    return OrderEstimates(probability, backoff, np.array([best]), probability[[best]])


def _higher_order(
    level: NgramCounts, counts: np.ndarray, parents: np.ndarray, below: OrderEstimates, vocab_size: int
) -> OrderEstimates:
    """The estimates of n-grams from their counts and the estimates of the (n-1)-grams.

    parents: for each context (an (n-1)-gram), the number of the same context without its first token.
    """
    context, last = np.divmod(level.keys, vocab_size)
    shares, backoff = _discounted(counts, context, len(parents))
    probability = shares + backoff[context] * below.probability[level.suffix]
    # The most likely token after a context has followed it, or is the most likely one after the parent context.
    best, best_probability = below.best[parents], backoff * below.best_probability[parents]
    highest = np.zeros(len(parents))
    np.maximum.at(highest, context, probability)
    winners = np.flatnonzero((probability == highest[context]) & (probability >= best_probability[context]))[::-1]
    best[context[winners]] = last[winners]  # the first of several equal ones
    best_probability[context[winners]] = probability[winners]
    return OrderEstimates(probability, backoff, best, best_probability)


def _continuation_counts(level: NgramCounts, longer: NgramCounts) -> np.ndarray:
    """How many different tokens precede each n-gram; for an n-gram that starts a story, its count."""
    preceding = np.bincount(longer.suffix, minlength=len(level.counts))
    return np.where(level.at_start, level.counts, preceding)


def _discounted(counts: np.ndarray, context: np.ndarray, contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of each n-gram in its context, after the discount, and the mass that this leaves in each context."""
    discount = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
    total = np.bincount(context, counts, minlength=contexts)
    shares = (counts - discount) / total[context]
    left = np.bincount(context, discount, minlength=contexts)
    return shares, np.divide(left, total, out=np.ones(contexts), where=total > 0)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """The discounts of counts of 1, of 2, and of 3 or more."""
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return discounts if all(0 < d <= times for times, d in enumerate(discounts, 1)) else FALLBACK_DISCOUNTS
