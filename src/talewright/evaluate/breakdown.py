"""A closer look at likelihood: confidence intervals, and the loss by position in a story and by length of the story."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from talewright.evaluate.likelihood import TokenScores

RESAMPLES = 1000
"""Bootstrap resamples."""
POSITION_BINS = (8, 32, 128, 256, 512)
"""Last position in each bin; the rest of a story is one more bin."""
LENGTH_BINS = (100, 200, 300, 500)
"""Longest story in each bin, in tokens; longer stories are one more bin."""


def intervals(scores: TokenScores, story_bytes: np.ndarray, words: np.ndarray) -> dict[str, list[float]]:
    """95% intervals of the figures, by a bootstrap over stories (Efron 1979). Whole stories are resampled, because the
    tokens of one story are correlated. The seed is fixed.
    """
    nats, correct = (_by_story(scores, values) for values in (scores.losses, scores.correct))
    sums = np.stack([nats, correct, scores.lengths, story_bytes, words]).astype(np.float64)  # (5, stories)
    stories, rng = sums.shape[1], np.random.default_rng(0)
    draws = (np.bincount(rng.integers(stories, size=stories), minlength=stories) for _ in range(RESAMPLES))
    nats, correct, tokens, size, words = np.stack([sums @ times for times in draws]).T
    loss = nats / tokens
    figures = {
        "loss": loss,
        "perplexity": np.exp(loss),
        "bits_per_byte": nats / math.log(2) / np.maximum(size, 1),
        "bits_per_word": nats / math.log(2) / np.maximum(words, 1),
        "token_accuracy": correct / tokens,
    }
    return {name: np.quantile(values, (0.025, 0.975)).tolist() for name, values in figures.items()}


def by_position(scores: TokenScores) -> list[dict[str, Any]]:
    """Mean loss by position in the story, counted from 1; the end of text is the last position."""
    starts = np.repeat(np.cumsum(scores.lengths) - scores.lengths, scores.lengths)
    return _binned(POSITION_BINS, np.arange(len(scores.losses)) - starts + 1, scores)


def by_length(scores: TokenScores, story_bytes: np.ndarray) -> list[dict[str, Any]]:
    """Mean loss and bits per byte by the length of the story in tokens."""
    size = story_bytes / scores.lengths  # a token's share of its story's bytes
    return _binned(LENGTH_BINS, np.repeat(scores.lengths, scores.lengths), scores, np.repeat(size, scores.lengths))


def _binned(
    ends: Sequence[int], value: np.ndarray, scores: TokenScores, size: np.ndarray | None = None
) -> list[dict[str, Any]]:
    bins = []
    for low, high in zip((0, *ends), (*ends, math.inf), strict=True):
        inside = (value > low) & (value <= high)
        if not inside.any():
            continue
        nats, tokens = float(scores.losses[inside].sum(dtype=np.float64)), int(inside.sum())
        figures = {"from": low + 1, "to": None if high == math.inf else high, "tokens": tokens, "loss": nats / tokens}
        if size is not None:
            figures["bits_per_byte"] = nats / math.log(2) / float(size[inside].sum())
        bins.append(figures)
    return bins


def _by_story(scores: TokenScores, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(np.float64), np.cumsum(scores.lengths) - scores.lengths)
