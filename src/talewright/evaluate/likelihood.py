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


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """What a model makes of each token of whole stories, one after another, each followed by its end of text."""

    losses: np.ndarray
    """Negative log-likelihood of each token, in nats: (tokens,) float32."""
    hits: np.ndarray
    """Whether it was the model's likeliest: (tokens,) bool."""
    lengths: np.ndarray
    """Tokens of each story, its end of text counted: (stories,) int64."""


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
    check_stories(stories, story_bytes)
    return summed(score_tokens(model, stories, eos_id, batch_tokens), story_bytes)


def check_stories(stories: Sequence[np.ndarray], story_bytes: Sequence[int] | np.ndarray) -> None:
    """Raise where there is nothing to score, or the sizes are not those of the stories."""
    if len(stories) != len(story_bytes):
        raise ValueError(f"{len(stories)} stories, but the sizes of {len(story_bytes)}")
    if int(np.sum(story_bytes)) == 0:
        raise UserError("there are no stories to score; a data source with at least one is needed")


def summed(scores: TokenScores, story_bytes: Sequence[int] | np.ndarray) -> Likelihood:
    """The figures over all tokens, of stories with these sizes in UTF-8 bytes."""
    size, tokens = int(np.sum(story_bytes)), len(scores.losses)
    total = float(scores.losses.sum(dtype=np.float64))  # float32 would lose the small ones among millions
    loss = total / tokens
    return Likelihood(
        loss=loss,
        perplexity=math.exp(loss) if not loss > 700 else math.inf,  # a float ends near exp(709)
        bits_per_byte=total / math.log(2) / size,
        token_accuracy=int(scores.hits.sum()) / tokens,
        tokens=tokens,
        bytes=size,
        stories=len(scores.lengths),
    )


@torch.inference_mode()
def score_tokens(
    model: GPT, stories: Sequence[np.ndarray], eos_id: int, batch_tokens: int = BATCH_TOKENS
) -> TokenScores:
    """Score each token of whole stories, each given as its ids without an end of text, by the protocol above."""
    lengths = np.array([len(story) + 1 for story in stories], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    losses, hits = np.empty(lengths.sum(), dtype=np.float32), np.empty(lengths.sum(), dtype=bool)
    device, training = model.output_weight.device, model.training
    model.eval()
    try:
        for places, pieces in _batches(stories, starts, eos_id, model.config.context_length, batch_tokens):
            inputs, targets = (torch.from_numpy(array).to(device) for array in padded(pieces))  # (B, T)
            scored = token_scores(model.hidden(inputs), model.output_weight, targets)
            found, right = (tensor.cpu().numpy() for tensor in scored)  # (B, T)
            for row, (place, piece) in enumerate(zip(places, pieces, strict=True)):
                losses[place : place + len(piece) - 1] = found[row, : len(piece) - 1]
                hits[place : place + len(piece) - 1] = right[row, : len(piece) - 1]
    finally:
        model.train(training)
    return TokenScores(losses=losses, hits=hits, lengths=lengths)


def _batches(
    stories: Sequence[np.ndarray], starts: np.ndarray, eos_id: int, context_length: int, batch_tokens: int
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Pieces of about one length, as many as fit into batch_tokens, and where each one's first prediction stands among
    those of all stories; longest first, to ask for the most memory first. A batch's shortest is at least three quarters
    of its longest: padding costs what tokens cost.
    """
    for first in range(0, len(stories), STORIES_AT_ONCE):
        some = range(first, min(first + STORIES_AT_ONCE, len(stories)))
        pieces = [piece for i in some for piece in _pieces(stories[i], int(starts[i]), eos_id, context_length)]
        pieces.sort(key=lambda piece: len(piece[1]), reverse=True)
        while pieces:
            longest = len(pieces[0][1]) - 1
            count = max(1, batch_tokens // longest)
            count = sum(4 * (len(piece) - 1) >= 3 * longest for _, piece in pieces[:count])
            yield [place for place, _ in pieces[:count]], [piece for _, piece in pieces[:count]]
            del pieces[:count]


def _pieces(story: np.ndarray, place: int, eos_id: int, context_length: int) -> Iterator[tuple[int, np.ndarray]]:
    """The story between two ends of text, cut so that each piece gives at most context_length predictions: its tokens
    but the last are read, its tokens but the first are predicted. `place` is where the story's predictions begin.
    """
    whole = np.concatenate(([eos_id], story, [eos_id])).astype(np.int64)
    for start in range(0, len(whole) - 1, context_length):
        yield place + start, whole[start : start + context_length + 1]


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
