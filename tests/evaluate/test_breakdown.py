"""Intervals and bins of likelihood against sums written out, and against many draws of new stories."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.evaluate.baselines.compressors import compressed_bits_per_byte
from talewright.evaluate.breakdown import by_length, by_position, intervals
from talewright.evaluate.likelihood import TokenScores, summarize


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
        low, high = intervals(scores, np.full(120, 90), np.full(120, 20))["loss"]
        held += low <= 2.0 <= high  # the mean of gamma(4, 0.5) times exponential(1)
    assert 85 <= held <= 100


def test_intervals_surround_the_figures_and_are_the_same_each_time():
    scores, sizes, words = scores_of([5, 80, 300] * 20), np.full(60, 400), np.full(60, 90)
    found, figures = intervals(scores, sizes, words), summarize(scores, sizes)
    assert found == intervals(scores, sizes, words)
    for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy"):
        low, high = found[name]
        assert low < getattr(figures, name) < high


def test_compressors_give_bits_per_byte_of_one_file():
    found = compressed_bits_per_byte(["abc" * 100, "abc" * 100])
    assert found["gzip"] == 8 * len(gzip.compress(b"abc" * 100 + b"\n" + b"abc" * 100, 9, mtime=0)) / 601
    assert found["xz"] < 8
