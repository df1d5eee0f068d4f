"""How likely a model finds stories: loss, perplexity, bits per byte, token accuracy, by one protocol.

A story is read after an end of text, as in training, and each of its tokens and its own end of text is predicted once
from those before it. A story longer than the model's context is cut into pieces of context_length predictions, each
read by itself. Every token of every story has the same weight; padding has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, token_scores

BATCH_TOKENS = 8192
"""Places of a batch, padding included."""
STORIES_AT_ONCE = 8192
"""Stories that are sorted by length together, so that those of a batch need little padding."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """What a model makes of stories. All figures but the counts are means over all predicted tokens."""

    loss: float
    """Negative log-likelihood of a token, in nats."""
    perplexity: float
    """exp(loss)."""
    bits_per_byte: float
    """Negative log-likelihood of all tokens, in bits, over the UTF-8 bytes of the stories: fair across tokenizers."""
    token_accuracy: float
    """Share of the tokens, from 0 to 1, that were the model's likeliest."""
    tokens: int
    """Tokens predicted: those of the stories, and an end of text for each."""
    bytes: int
    """UTF-8 bytes of the stories."""
    stories: int


def score_stories(
    model: GPT,
    stories: Sequence[np.ndarray],
    story_bytes: Sequence[int] | np.ndarray,
    eos_id: int,
    batch_tokens: int = BATCH_TOKENS,
) -> Likelihood:
    """Score whole stories, each given as its ids without an end of text, and their sizes in UTF-8 bytes.

    The figures do not depend on batch_tokens but for rounding. Products of matrices run in the weights' precision; put
    the call into `torch.autocast` for another. Raises UserError where there is nothing to score.
    """
    if len(stories) != len(story_bytes):
        raise ValueError(f"{len(stories)} stories, but the sizes of {len(story_bytes)}")
    size = int(np.sum(story_bytes))
    if size == 0:
        raise UserError("there are no stories to score; a data source with at least one is needed")
    training = model.training
    model.eval()
    try:
        total, hits, tokens = _totals(model, _batches(stories, eos_id, model.config.context_length, batch_tokens))
    finally:
        model.train(training)
    loss = total / tokens
    return Likelihood(
        loss=loss,
        perplexity=math.exp(loss) if not loss > 700 else math.inf,  # a float ends near exp(709)
        bits_per_byte=total / math.log(2) / size,
        token_accuracy=hits / tokens,
        tokens=tokens,
        bytes=size,
        stories=len(stories),
    )


@torch.inference_mode()
def _totals(model: GPT, batches: Iterator[list[np.ndarray]]) -> tuple[float, int, int]:
    """Negative log-likelihood in nats, tokens that were the likeliest, and tokens, over all batches."""
    total, hits, tokens = 0.0, 0, 0
    device = model.output_weight.device
    for pieces in batches:
        inputs, targets = (torch.from_numpy(array).to(device) for array in padded(pieces))  # (B, T)
        losses, right = token_scores(model.hidden(inputs), model.output_weight, targets)
        total += float(losses.cpu().double().sum())  # float32 would lose the small ones among millions
        hits += int(right.sum())
        tokens += sum(len(piece) - 1 for piece in pieces)
    return total, hits, tokens


def _batches(
    stories: Sequence[np.ndarray], eos_id: int, context_length: int, batch_tokens: int
) -> Iterator[list[np.ndarray]]:
    """Pieces of about one length, as many as fit into batch_tokens; longest first, to ask for the most memory first.
    A batch's shortest is at least three quarters of its longest: padding costs what tokens cost.
    """
    for first in range(0, len(stories), STORIES_AT_ONCE):
        some = range(first, min(first + STORIES_AT_ONCE, len(stories)))
        pieces = [piece for i in some for piece in _pieces(stories[i], eos_id, context_length)]
        pieces.sort(key=len, reverse=True)
        while pieces:
            longest = len(pieces[0]) - 1
            count = max(1, batch_tokens // longest)
            count = sum(4 * (len(piece) - 1) >= 3 * longest for piece in pieces[:count])
            yield pieces[:count]
            del pieces[:count]


def _pieces(story: np.ndarray, eos_id: int, context_length: int) -> Iterator[np.ndarray]:
    """The story between two ends of text, cut so that each piece gives at most context_length predictions: its tokens
    but the last are read, its tokens but the first are predicted.
    """
    whole = np.concatenate(([eos_id], story, [eos_id])).astype(np.int64)
    for start in range(0, len(whole) - 1, context_length):
        yield whole[start : start + context_length + 1]


def padded(pieces: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (B, T) of pieces of stories: all tokens but the last, all but the first. Padded on the right,
    where no token looks.
    """
    shape = len(pieces), max(map(len, pieces)) - 1
    inputs, targets = np.zeros(shape, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
    for row, piece in enumerate(pieces):
        inputs[row, : len(piece) - 1] = piece[:-1]
        targets[row, : len(piece) - 1] = piece[1:]
    return inputs, targets
