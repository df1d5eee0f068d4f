"""Likelihood looked at closely: how sure its figures are, where in a story it is low or high, and in which stories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from talewright.evaluate.likelihood import TokenScores

RESAMPLES = 1000
"""Draws of the bootstrap."""
PLACES = (8, 32, 128, 256, 512)
"""Last tokens of the parts that a story is divided into; what comes after the last is a part of its own."""
LENGTHS = (100, 200, 300, 500)
"""The same for the tokens of a whole story."""


def intervals(scores: TokenScores, story_bytes: np.ndarray, words: np.ndarray) -> dict[str, list[float]]:
    """95 % intervals of the figures, by a bootstrap over stories (Efron 1979): tokens of one story hang together, so
    that whole stories are drawn, as many as there are, with replacement. Always the same ones for as many stories.
    """
    nats, hits = (_by_story(scores, values) for values in (scores.losses, scores.hits))
    sums = np.stack([nats, hits, scores.lengths, story_bytes, words]).astype(np.float64)  # (5, stories)
    stories, rng = sums.shape[1], np.random.default_rng(0)
    often = (np.bincount(rng.integers(stories, size=stories), minlength=stories) for _ in range(RESAMPLES))
    nats, hits, tokens, size, words = np.stack([sums @ times for times in often]).T
    loss = nats / tokens
    figures = {
        "loss": loss,
        "perplexity": np.exp(loss),
        "bits_per_byte": nats / math.log(2) / np.maximum(size, 1),
        "bits_per_word": nats / math.log(2) / np.maximum(words, 1),
        "token_accuracy": hits / tokens,
    }
    return {name: np.quantile(values, (0.025, 0.975)).tolist() for name, values in figures.items()}


def by_position(scores: TokenScores) -> list[dict[str, Any]]:
    """Mean loss of the tokens in each part of a story, the first token being number 1, its end of text the last."""
    starts = np.repeat(np.cumsum(scores.lengths) - scores.lengths, scores.lengths)
    return _parts(PLACES, np.arange(len(scores.losses)) - starts + 1, scores)


def by_length(scores: TokenScores, story_bytes: np.ndarray) -> list[dict[str, Any]]:
    """Mean loss of the tokens of short and of long stories, by their tokens, and bits per byte."""
    size = story_bytes / scores.lengths  # a token's share of its story's bytes
    return _parts(LENGTHS, np.repeat(scores.lengths, scores.lengths), scores, np.repeat(size, scores.lengths))


def _parts(
    ends: Sequence[int], value: np.ndarray, scores: TokenScores, size: np.ndarray | None = None
) -> list[dict[str, Any]]:
    found = []
    for low, high in zip((0, *ends), (*ends, math.inf), strict=True):
        inside = (value > low) & (value <= high)
        if not inside.any():
            continue
        nats = float(scores.losses[inside].sum(dtype=np.float64))
        tokens = int(inside.sum())
        found.append(
            {"from": low + 1, "to": None if high == math.inf else high, "tokens": tokens, "loss": nats / tokens}
        )
        if size is not None:
            found[-1]["bits_per_byte"] = nats / math.log(2) / float(size[inside].sum())
    return found


def _by_story(scores: TokenScores, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(np.float64), np.cumsum(scores.lengths) - scores.lengths)
