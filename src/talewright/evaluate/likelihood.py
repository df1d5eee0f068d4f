"""How likely a model finds stories: loss, perplexity, bits per byte and token accuracy, all by one protocol; their
confidence intervals; and the loss by position in a story and by its length.

A story is read after an end-of-text token, as in training. Each of its tokens and its own end of text is predicted once
from the tokens before it. A story longer than the model's context is cut into sequences of context_length predictions,
each read by itself. Every token of every story has the same weight; padding has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.data.batches import pad_sequences
from talewright.errors import UserError
from talewright.machine.busy import adapt_to_load
from talewright.model.gpt import GPT
from talewright.model.loss import token_scores

BATCH_TOKENS = 8192
"""Positions in a batch, padding included."""
STORIES_AT_ONCE = 8192
"""Stories that are sorted by length together, so that batches need little padding."""
RESAMPLES = 1000
"""Bootstrap resamples."""
POSITION_BINS = (8, 32, 128, 256, 512)
"""Last position in each bin; the rest of a story is one more bin."""
LENGTH_BINS = (100, 200, 300, 500)
"""Longest story in each bin, in tokens; longer stories are one more bin."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The likelihood of stories. All figures except the counts are means over all predicted tokens."""

    loss: float
    """Negative log-likelihood per token, in nats."""
    perplexity: float
    """exp(loss)."""
    bits_per_byte: float
    """Negative log-likelihood of all tokens, in bits, over the UTF-8 bytes of the stories: comparable across
    tokenizers."""
    token_accuracy: float
    """Share of the tokens, from 0 to 1, that were the argmax."""
    tokens: int
    """Tokens predicted: those of the stories, and an end of text for each."""
    bytes: int
    """UTF-8 bytes of the stories."""
    stories: int


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """Scores of each token of whole stories, concatenated, each followed by its end of text."""

    losses: np.ndarray
    """Negative log-likelihood of each token, in nats: (tokens,) float32."""
    correct: np.ndarray
    """Whether it was the argmax: (tokens,) bool."""
    lengths: np.ndarray
    """Tokens of each story, its end of text included: (stories,) int64."""


@dataclass(frozen=True)
class TextUnits:
    """What a text is made of, for figures that tokenizers have in common."""

    name: str
    """"word" or "character"."""
    counts: np.ndarray
    """Of each story: (stories,)."""


def score_stories(
    model: GPT,
    stories: Sequence[np.ndarray],
    story_bytes: Sequence[int] | np.ndarray,
    separator: int | Sequence[int],
    batch_tokens: int = BATCH_TOKENS,
) -> Likelihood:
    """Score whole stories, given as ids without an end of text, and their sizes in UTF-8 bytes.

    separator: the end of text, or a tokenizer's `separator`.

    The figures depend on batch_tokens only by rounding. Matrix products run in the precision of the weights; use
    `torch.autocast` for another. Raises UserError if there is nothing to score.
    """
    check_stories(stories, story_bytes)
    return summarize(score_tokens(model, stories, separator, batch_tokens), story_bytes)


def check_stories(stories: Sequence[np.ndarray], story_bytes: Sequence[int] | np.ndarray) -> None:
    """Raise UserError if there is nothing to score, ValueError if the sizes do not fit the stories."""
    if len(stories) != len(story_bytes):
        raise ValueError(f"{len(stories)} stories, but the sizes of {len(story_bytes)}")
    if int(np.sum(story_bytes)) == 0:
        raise UserError("there are no stories to score; a data source with at least one is needed")


def check_finite(losses: np.ndarray | float, model: Path) -> None:
    """Raise UserError, naming the model, if a loss is not a number: the model's logits are not either."""
    if not np.isfinite(losses).all():
        raise UserError(
            f"the logits of {model} are not numbers (NaN or infinite): its weights are damaged, or too large"
        )


def summarize(scores: TokenScores, story_bytes: Sequence[int] | np.ndarray) -> Likelihood:
    """The figures over all tokens, for stories of these sizes in UTF-8 bytes."""
    size, tokens = int(np.sum(story_bytes)), len(scores.losses)
    total = float(scores.losses.sum(dtype=np.float64))  # float32 would lose small losses among millions
    loss = total / tokens
    return Likelihood(
        loss=loss,
        perplexity=math.exp(loss) if not loss > 700 else math.inf,  # a float overflows near exp(709)
        bits_per_byte=total / math.log(2) / size,
        token_accuracy=int(scores.correct.sum()) / tokens,
        tokens=tokens,
        bytes=size,
        stories=len(scores.lengths),
    )


@torch.inference_mode()
def score_tokens(
    model: GPT, stories: Sequence[np.ndarray], separator: int | Sequence[int], batch_tokens: int = BATCH_TOKENS
) -> TokenScores:
    """Score each token of whole stories, given as ids without an end of text, by the protocol above."""
    lengths = np.array([len(story) + 1 for story in stories], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    losses, correct = np.empty(lengths.sum(), dtype=np.float32), np.empty(lengths.sum(), dtype=bool)
    device, training = model.output_weight.device, model.training
    model.eval()
    try:
        for offsets, sequences in _batches(stories, starts, separator, model.config.context_length, batch_tokens):
            inputs, targets = (torch.from_numpy(array).to(device) for array in pad_sequences(sequences))  # (B, T)
            with adapt_to_load():
                scored = token_scores(model.hidden(inputs), model.output_weight, targets)
            batch_losses, batch_correct = (tensor.cpu().numpy() for tensor in scored)  # (B, T)
            for row, (offset, sequence) in enumerate(zip(offsets, sequences, strict=True)):
                count = len(sequence) - 1
                losses[offset : offset + count] = batch_losses[row, :count]
                correct[offset : offset + count] = batch_correct[row, :count]
    finally:
        model.train(training)
    return TokenScores(losses=losses, correct=correct, lengths=lengths)


def _batches(
    stories: Sequence[np.ndarray],
    starts: np.ndarray,
    separator: int | Sequence[int],
    context_length: int,
    batch_tokens: int,
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Sequences of similar length, as many as fit into batch_tokens, and the offset of each one's first prediction
    among those of all stories. The longest come first, so that the most memory is allocated first. The shortest of a
    batch has at least three quarters of the longest one's length, because padding costs as much as tokens.
    """
    for first in range(0, len(stories), STORIES_AT_ONCE):
        some = range(first, min(first + STORIES_AT_ONCE, len(stories)))
        waiting = [item for i in some for item in _cut(stories[i], int(starts[i]), separator, context_length)]
        waiting.sort(key=lambda item: len(item[1]), reverse=True)
        while waiting:
            longest = len(waiting[0][1]) - 1
            count = max(1, batch_tokens // longest)
            count = sum(4 * (len(sequence) - 1) >= 3 * longest for _, sequence in waiting[:count])
            yield [offset for offset, _ in waiting[:count]], [sequence for _, sequence in waiting[:count]]
            del waiting[:count]


def _cut(
    story: np.ndarray, offset: int, separator: int | Sequence[int], context_length: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The story between two separators (of two tokens, the begin before it and the end after it), cut into sequences of
    at most context_length predictions each.
    `offset` is that of the story's first prediction.
    """
    ends = np.atleast_1d(separator)
    whole = np.concatenate((ends[-1:], story, ends[:1])).astype(np.int64)
    for start in range(0, len(whole) - 1, context_length):
        yield offset + start, whole[start : start + context_length + 1]


def intervals(scores: TokenScores, story_bytes: np.ndarray, units: TextUnits) -> dict[str, list[float]]:
    """95% intervals of the figures, by a bootstrap over stories (Efron 1979). Whole stories are resampled, because the
    tokens of one story are correlated. The seed is fixed.
    """
    nats, correct = (_by_story(scores, values) for values in (scores.losses, scores.correct))
    sums = np.stack([nats, correct, scores.lengths, story_bytes, units.counts]).astype(np.float64)  # (5, stories)
    stories, rng = sums.shape[1], np.random.default_rng(0)
    draws = (np.bincount(rng.integers(stories, size=stories), minlength=stories) for _ in range(RESAMPLES))
    nats, correct, tokens, size, count = np.stack([sums @ times for times in draws]).T
    loss = nats / tokens
    figures = {
        "loss": loss,
        "perplexity": np.exp(loss),
        "bits_per_byte": nats / math.log(2) / np.maximum(size, 1),
        f"bits_per_{units.name}": nats / math.log(2) / np.maximum(count, 1),
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
