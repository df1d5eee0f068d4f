"""N-gram models against the formulas written out over dictionaries, and against nltk's."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.evaluate.baselines import kneser_ney
from talewright.evaluate.baselines.kneser_ney import KneserNey, count_ngrams, ngram_scorer, train_ngram_models
from talewright.evaluate.multiple_choice.scoring import EncodedChoice

V, EOS = 7, 2


def test_of_a_long_text_the_stories_that_are_counted_come_from_everywhere():
    """A text whose first and second half are of different tokens, as two files may be."""
    halves = arrays([[0, 1]] * 50 + [[3, 4]] * 50)

    def stories(indices: Sequence[int]) -> tuple[list[np.ndarray], None]:
        return [halves[i] for i in indices], None

    train: Any = SimpleNamespace(n_stories=100, n_tokens=300, stories=stories)
    tokenizer: Any = SimpleNamespace(eos_id=EOS, vocab_size=V)
    models, counted = train_ngram_models(train, tokenizer, max_tokens=60, orders={"unigram": 1})
    shares = models["unigram"].distribution([])
    assert counted == 60
    assert shares[0] == pytest.approx(shares[3])
    assert train_ngram_models(train, tokenizer, max_tokens=300)[1] == 300


def stories_of_ids(smallest: int = 1) -> st.SearchStrategy[list[list[int]]]:
    ids = st.integers(0, V - 1).filter(lambda i: i != EOS)
    return st.lists(st.lists(ids, max_size=12), min_size=smallest, max_size=8)


def arrays(stories: list[list[int]]) -> list[np.ndarray]:
    return [np.array(story, dtype=np.int64) for story in stories]


def model_of(stories: list[list[int]], order: int) -> KneserNey:
    return KneserNey(count_ngrams(arrays(stories), EOS, V, order), order, EOS)


class Naive:
    """Modified Kneser-Ney by its definition, one n-gram at a time. "^" is the start of a story."""

    def __init__(self, stories: list[list[int]], order: int) -> None:
        self.order, self.counts = order, [Counter() for _ in range(order + 1)]
        for story in stories:
            whole: tuple[Any, ...] = ("^", *story, EOS)
            for n in range(1, order + 1):
                for i in range(len(whole) - n + 1):
                    if whole[i + n - 1] != "^":
                        self.counts[n][whole[i : i + n]] += 1
        raw = [Counter(counts) for counts in self.counts]
        for n in range(1, order):
            before = defaultdict(set)
            for ngram in raw[n + 1]:
                before[ngram[1:]].add(ngram[0])
            for ngram in raw[n]:
                if ngram[0] != "^":
                    self.counts[n][ngram] = len(before[ngram])
        self.discounts = [self.discounts_of(counts) for counts in self.counts]

    @staticmethod
    def discounts_of(counts: Counter) -> list[float]:
        of = Counter(counts.values())
        if 0 in (of[1], of[2], of[3]):
            return [0, 0.5, 1, 1.5]
        y = of[1] / (of[1] + 2 * of[2])
        found = [0] + [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
        return found if all(0 < found[k] <= k for k in (1, 2, 3)) else [0, 0.5, 1, 1.5]

    def probability(self, token: int, history: tuple) -> float:
        history = history[-(self.order - 1) :] if self.order > 1 else ()
        n = len(history) + 1
        lower = 1 / V if n == 1 else self.probability_lower(token, history[1:])
        after = {ngram: count for ngram, count in self.counts[n].items() if ngram[:-1] == history}
        total = sum(after.values())
        if not total:
            return lower
        taken = {ngram: self.discounts[n][min(count, 3)] for ngram, count in after.items()}
        own = (*history, token)
        return (after.get(own, 0) - taken.get(own, 0)) / total + sum(taken.values()) / total * lower

    def probability_lower(self, token: int, history: tuple) -> float:
        shorter = Naive.__new__(Naive)
        shorter.__dict__ = {**self.__dict__, "order": len(history) + 1}
        return shorter.probability(token, history)


@settings(max_examples=60)
@given(stories_of_ids(), stories_of_ids(), st.integers(1, 5))
def test_every_token_has_the_probability_of_the_definition_and_the_argmax_is_correct(known, new, order):
    model, naive = model_of(known, order), Naive(known, order)
    found = model.score(arrays(new))
    assert found.lengths.tolist() == [len(story) + 1 for story in new]
    offset = 0
    for story in new:
        whole: tuple[Any, ...] = ("^", *story, EOS)
        for i in range(1, len(whole)):
            every = [naive.probability(token, whole[:i]) for token in range(V)]
            assert sum(every) == pytest.approx(1)
            assert math.exp(-found.losses[offset]) == pytest.approx(every[whole[i]], rel=1e-5)
            assert not found.correct[offset] or every[whole[i]] == pytest.approx(max(every))
            if every[whole[i]] > 1.0001 * max(every[: whole[i]] + every[whole[i] + 1 :]):
                assert found.correct[offset]
            offset += 1


@given(stories_of_ids(), st.lists(st.integers(0, V - 1).filter(lambda i: i != EOS), max_size=8), st.integers(1, 5))
def test_the_probabilities_of_all_tokens_in_any_context_sum_to_1(known, context, order):
    model, every = model_of(known, order), []
    for token in range(V):
        story = context if token == EOS else [*context, token]
        every.append(math.exp(-model.score(arrays([story])).losses[len(context)]))
    assert sum(every) == pytest.approx(1, rel=1e-5)
    assert model.distribution(context) == pytest.approx(every, rel=1e-5)


@given(stories_of_ids(2))
def test_a_bigram_model_equals_nltks_with_its_discounts(known):
    lm = pytest.importorskip("nltk.lm", reason="nltk is not installed")
    counts = count_ngrams(arrays(known), EOS, V, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney, "_discounts", lambda counts: (0.1, 0.1, 0.1))
        patch.setattr(kneser_ney, "_lowest_order", undiscounted)
        model = KneserNey(counts, 2, EOS)
    theirs = lm.KneserNeyInterpolated(2, discount=0.1)
    whole = [["^", *map(str, story), "$"] for story in known]
    pairs = [list(pairwise(words)) + [(word,) for word in words[1:]] for words in whole]
    theirs.fit(pairs, vocabulary_text=["^", "$", *map(str, range(V))])
    for story, words in zip(known, whole, strict=True):
        ours = np.exp(-model.score(arrays([story])).losses)
        assert ours == pytest.approx([theirs.score(b, [a]) for a, b in pairwise(words)], rel=1e-5)


def undiscounted(counts: np.ndarray) -> kneser_ney.OrderEstimates:
    shares = counts / counts.sum()
    best = shares.argmax()
    return kneser_ney.OrderEstimates(shares, np.zeros(1), np.array([best]), shares[[best]])


def test_a_frequent_story_is_predicted_word_for_word():
    model = model_of([[0, 1, 3, 4, 5]] * 20 + [[5, 4, 3]], 5)
    found = model.score(arrays([[0, 1, 3, 4, 5]]))
    assert found.correct.all()
    assert found.losses.max() < 0.5


def test_a_choice_has_the_log_probability_of_its_tokens_from_start_on():
    rng, eos, vocab = np.random.default_rng(0), 0, 9
    stories = [rng.integers(1, vocab, rng.integers(3, 30)) for _ in range(60)]
    model = KneserNey(count_ngrams(stories, eos, vocab, 3), 3, eos)
    choices = [
        EncodedChoice(np.array([eos, *story]), start) for story, start in zip(stories[:9], (1, 2, 3) * 3, strict=True)
    ]
    for choice, score in zip(choices, ngram_scorer(model)(choices), strict=True):
        before, whole = (model.score([choice.ids[1:stop]]).losses for stop in (choice.start, len(choice.ids)))
        # the story's own end of text comes last, and is not part of the choice
        expected = whole[:-1].astype(np.float64).sum() - before[:-1].astype(np.float64).sum()
        assert score == pytest.approx(-expected, abs=1e-5)
        assert score < 0
