"""Scores of whole stories against one story at a time, written out; intervals and bins against sums, and against many
draws of new stories.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.evaluate import likelihood
from talewright.evaluate.likelihood import (
    TextUnits,
    TokenScores,
    by_length,
    by_position,
    intervals,
    score_stories,
    summarize,
)
from talewright.model import loss as loss_module
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, argmax, token_scores
from tests.model.shapes import lively_model, model_configs

VOCAB = 11
EOS = 3


def stories_of_ids(most: int = 50) -> st.SearchStrategy[list[np.ndarray]]:
    ids = st.lists(st.integers(0, VOCAB - 1), max_size=most)
    return st.lists(ids, min_size=1, max_size=9).map(lambda some: [np.array(ids, dtype=np.int64) for ids in some])


def model_of(config: ModelConfig) -> GPT:
    return lively_model(config, 0)


def naive(model: GPT, stories: list[np.ndarray]) -> tuple[float, int, int]:
    """Loss in nats, correct tokens, and tokens: one story at a time, by the protocol's definition."""
    total, correct, tokens = 0.0, 0, 0
    context = model.config.context_length
    for story in stories:
        whole = [EOS, *story.tolist(), EOS]
        read, predicted = whole[:-1], whole[1:]
        for start in range(0, len(read), context):
            sequence, targets = read[start : start + context], torch.tensor(predicted[start : start + context])
            with torch.no_grad():
                logits = model(torch.tensor([sequence]))[0].double()
            total += float(F.cross_entropy(logits, targets, reduction="sum"))
            correct += int((logits.argmax(-1) == targets).sum())
            tokens += len(sequence)
    return total, correct, tokens


@given(model_configs(vocab_size=VOCAB, dropout=0.5), stories_of_ids(), st.integers(1, 100))
def test_a_score_equals_one_story_at_a_time(config, stories, batch_tokens):
    model = model_of(config)
    total, correct, tokens = naive(model, stories)
    sizes = [len(story) + 1 for story in stories]
    score = score_stories(model, stories, sizes, EOS, batch_tokens)
    assert score.tokens == tokens == sum(sizes)
    assert score.loss == pytest.approx(total / tokens, rel=1e-5, abs=1e-5)
    assert score.perplexity == pytest.approx(math.exp(total / tokens), rel=1e-4)
    assert score.bits_per_byte == pytest.approx(total / math.log(2) / sum(sizes), rel=1e-5, abs=1e-5)
    assert score.token_accuracy == pytest.approx(correct / tokens, abs=1e-9)
    assert (score.bytes, score.stories) == (sum(sizes), len(stories))


@given(stories_of_ids(), st.integers(1, 400), st.integers(1, 400), st.integers(1, 10), st.integers(1, 300))
def test_a_score_is_the_same_whatever_the_batch_size(stories, one, other, at_once, logits):
    model = model_of(ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=VOCAB, context_length=12))
    sizes = np.arange(1, len(stories) + 1)
    expected = score_stories(model, stories, sizes, EOS, one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "STORIES_AT_ONCE", at_once)
        patch.setattr(loss_module, "LOGITS_AT_ONCE", logits)
        score = score_stories(model, stories, sizes, EOS, other)
    assert score.loss == pytest.approx(expected.loss, rel=1e-6)
    assert score.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-6)
    assert (score.tokens, score.token_accuracy) == (expected.tokens, expected.token_accuracy)


def test_padding_is_neither_scored_nor_attended():
    model = model_of(small())
    short, long = np.array([1, 2]), np.arange(10)
    [alone], [other] = (naive(model, [story])[:1] for story in (short, long))
    together = score_stories(model, [short, long], [1, 1], EOS, batch_tokens=100)  # in one batch, the short one padded
    assert together.tokens == 3 + 11
    assert together.loss * 14 == pytest.approx(alone + other, rel=1e-6)


def test_a_batch_holds_no_more_positions_than_allowed_and_little_padding(monkeypatch):
    model, shapes = model_of(small(context_length=64)), []
    hidden = GPT.hidden

    def counted(self, tokens, cache=None):
        shapes.append(tuple(tokens.shape))
        return hidden(self, tokens, cache)

    monkeypatch.setattr(GPT, "hidden", counted)
    rng = np.random.default_rng(0)
    stories = [rng.integers(0, VOCAB, rng.integers(1, 200)) for _ in range(200)]
    score = score_stories(model, stories, [1] * 200, EOS, batch_tokens=256)
    positions = [rows * length for rows, length in shapes]
    assert max(positions) <= 256
    assert sum(positions) < 1.05 * score.tokens


def test_untrained_weights_score_about_the_logarithm_of_the_vocabulary():
    config = ModelConfig(n_layers=2, n_heads=2, d_model=32, d_ff=64, vocab_size=1000, context_length=64)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    score = score_stories(GPT(config), [rng.integers(0, 1000, 50) for _ in range(20)], [200] * 20, EOS)
    assert score.loss == pytest.approx(math.log(1000), rel=0.03)
    assert score.bits_per_byte == pytest.approx(score.loss * 51 / math.log(2) / 200, rel=1e-6)


def test_a_hopeless_model_has_an_infinite_perplexity_and_no_traceback():
    model = model_of(small())
    model.norm.weight.data.mul_(1e6)
    score = score_stories(model, [np.arange(10)], [10], EOS)
    assert score.loss > 1000
    assert score.perplexity == math.inf


def test_a_broken_model_scores_nan():
    model = model_of(small())
    model.norm.weight.data.fill_(math.nan)
    assert math.isnan(score_stories(model, [np.arange(10)], [10], EOS).perplexity)


def test_the_model_is_left_as_it_was_and_scored_without_dropout():
    model = model_of(small(dropout=0.5)).train()
    first, second = (score_stories(model, [np.arange(10)], [10], EOS) for _ in range(2))
    assert first == second
    assert model.training
    model(torch.tensor([[1, 2]])).sum().backward()  # its weights are still ordinary tensors


def test_bfloat16_products_score_nearly_the_same():
    model, stories = model_of(small()), [np.arange(10), np.array([4, 5])]
    exact = score_stories(model, stories, [10, 2], EOS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = score_stories(model, stories, [10, 2], EOS)
    assert rough.loss != exact.loss
    assert rough.loss == pytest.approx(exact.loss, rel=0.02)


def test_no_stories_are_refused_in_one_sentence():
    with pytest.raises(UserError, match="no stories to score"):
        score_stories(model_of(small()), [], [], EOS)


def test_sizes_that_are_not_those_of_the_stories_are_refused():
    with pytest.raises(ValueError, match="2 stories"):
        score_stories(model_of(small()), [np.arange(3)] * 2, [3], EOS)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 9), st.floats(0, 1), st.integers(1, 200))
def test_scores_of_tokens_equal_cross_entropy_and_are_0_at_padding(seed, B, T, padding, at_once):
    torch.manual_seed(seed)
    hidden, weight = torch.randn(B, T, 8), torch.randn(VOCAB, 8)
    targets = torch.randint(VOCAB, (B, T)).masked_fill(torch.rand(B, T) < padding, IGNORED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "LOGITS_AT_ONCE", at_once)
        losses, hits = token_scores(hidden, weight, targets)
    logits = hidden @ weight.T
    expected = F.cross_entropy(logits.mT, targets, ignore_index=IGNORED, reduction="none")
    torch.testing.assert_close(losses, expected)
    assert torch.equal(hits, logits.argmax(-1) == targets)


def test_of_equally_likely_tokens_only_the_first_is_the_argmax():
    assert argmax(torch.zeros(2, 5)).tolist() == [0, 0]


def test_a_model_that_prefers_no_token_guesses_one_and_not_all():
    _, hits = token_scores(torch.zeros(1, VOCAB, 8), torch.randn(VOCAB, 8), torch.arange(VOCAB)[None])
    assert hits.sum() == 1


def small(context_length: int = 12, dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(
        n_layers=2,
        n_heads=2,
        d_model=16,
        d_ff=32,
        vocab_size=VOCAB,
        context_length=context_length,
        dropout=dropout,
    )


def scores_of(lengths: list[int], seed: int = 0) -> TokenScores:
    rng, lengths_array = np.random.default_rng(seed), np.array(lengths, dtype=np.int64)
    harder = np.repeat(rng.gamma(4, 0.5, len(lengths)), lengths_array)  # a story is easy or hard as a whole
    losses = (harder * rng.exponential(1, lengths_array.sum())).astype(np.float32)
    return TokenScores(losses=losses, correct=losses < 0.5, lengths=lengths_array)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=9), st.integers(0, 99))
def test_the_bins_hold_all_tokens_by_their_positions(lengths, seed):
    scores = scores_of(lengths, seed)
    bins = by_position(scores)
    assert sum(bin_["tokens"] for bin_ in bins) == len(scores.losses)
    whole = sum(bin_["tokens"] * bin_["loss"] for bin_ in bins)
    assert whole == pytest.approx(scores.losses.sum(dtype=np.float64))
    starts = np.cumsum(lengths) - lengths
    first = [
        loss for start, n in zip(starts, lengths, strict=True) for loss in scores.losses[start : start + min(n, 8)]
    ]
    assert bins[0]["loss"] == pytest.approx(np.mean(first), rel=1e-5)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=9), st.integers(0, 99))
def test_stories_are_binned_by_their_lengths(lengths, seed):
    scores, sizes = scores_of(lengths, seed), 3 * np.array(lengths)
    bins = by_length(scores, sizes)
    short = [i for i, n in enumerate(lengths) if n <= 100]
    assert sum(bin_["tokens"] for bin_ in bins) == sum(lengths)
    for bin_ in bins:
        assert bin_["bits_per_byte"] == pytest.approx(bin_["loss"] / math.log(2) / 3)
    if short:
        assert bins[0]["tokens"] == sum(lengths[i] for i in short)


def test_intervals_contain_the_true_mean_about_as_often_as_they_claim():
    held, draws = 0, 100
    for seed in range(draws):
        scores = scores_of([30] * 120, seed)
        low, high = intervals(scores, np.full(120, 90), TextUnits("word", np.full(120, 20)))["loss"]
        held += low <= 2.0 <= high  # the mean of gamma(4, 0.5) times exponential(1)
    assert 85 <= held <= 100


def test_intervals_surround_the_figures_and_are_the_same_each_time():
    scores, sizes, words = scores_of([5, 80, 300] * 20), np.full(60, 400), np.full(60, 90)
    found, figures = intervals(scores, sizes, TextUnits("word", words)), summarize(scores, sizes)
    assert found == intervals(scores, sizes, TextUnits("word", words))
    for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy"):
        low, high = found[name]
        assert low < getattr(figures, name) < high
