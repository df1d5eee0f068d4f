"""Intervals and parts of likelihood against sums written out, and against many draws of new stories."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.evaluate.baselines.counting import compressed
from talewright.evaluate.breakdown import by_length, by_position, intervals
from talewright.evaluate.likelihood import TokenScores, summed


def scores_of(lengths: list[int], seed: int = 0) -> TokenScores:
    rng, lengths_array = np.random.default_rng(seed), np.array(lengths, dtype=np.int64)
    harder = np.repeat(rng.gamma(4, 0.5, len(lengths)), lengths_array)  # a story is easy or hard as a whole
    losses = (harder * rng.exponential(1, lengths_array.sum())).astype(np.float32)
    return TokenScores(losses=losses, hits=losses < 0.5, lengths=lengths_array)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=9), st.integers(0, 99))
def test_the_parts_of_a_story_hold_all_its_tokens_in_their_places(lengths, seed):
    scores = scores_of(lengths, seed)
    parts = by_position(scores)
    assert sum(part["tokens"] for part in parts) == len(scores.losses)
    whole = sum(part["tokens"] * part["loss"] for part in parts)
    assert whole == pytest.approx(scores.losses.sum(dtype=np.float64))
    starts = np.cumsum(lengths) - lengths
    first = [
        loss for start, n in zip(starts, lengths, strict=True) for loss in scores.losses[start : start + min(n, 8)]
    ]
    assert parts[0]["loss"] == pytest.approx(np.mean(first), rel=1e-5)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=9), st.integers(0, 99))
def test_stories_are_parted_by_their_lengths(lengths, seed):
    scores, sizes = scores_of(lengths, seed), 3 * np.array(lengths)
    parts = by_length(scores, sizes)
    short = [i for i, n in enumerate(lengths) if n <= 100]
    assert sum(part["tokens"] for part in parts) == sum(lengths)
    for part in parts:
        assert part["bits_per_byte"] == pytest.approx(part["loss"] / math.log(2) / 3)
    if short:
        assert parts[0]["tokens"] == sum(lengths[i] for i in short)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    held, draws = 0, 100
    for seed in range(draws):
        scores = scores_of([30] * 120, seed)
        low, high = intervals(scores, np.full(120, 90), np.full(120, 20))["loss"]
        held += low <= 2.0 <= high  # the mean of gamma(4, 0.5) times exponential(1)
    assert 85 <= held <= 100


def test_intervals_surround_the_figures_and_are_the_same_each_time():
    scores, sizes, words = scores_of([5, 80, 300] * 20), np.full(60, 400), np.full(60, 90)
    found, figures = intervals(scores, sizes, words), summed(scores, sizes)
    assert found == intervals(scores, sizes, words)
    for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy"):
        low, high = found[name]
        assert low < getattr(figures, name) < high


def test_compressors_give_bits_per_byte_of_one_file():
    found = compressed(["abc" * 100, "abc" * 100])
    assert found["gzip"] == 8 * len(gzip.compress(b"abc" * 100 + b"\n" + b"abc" * 100, 9, mtime=0)) / 601
    assert found["xz"] < 8
