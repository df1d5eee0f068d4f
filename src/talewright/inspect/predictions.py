"""A model's predictions: token by token, layer by layer, by position in the context, and their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from talewright.inspect.activations import record
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED

RESIDUAL_STREAMS = ["embedding", "blocks.*.resid_post"]
TOP = 5
"""Number of most probable tokens to show for each position."""


class TokenPredictions(NamedTuple):
    """What the model predicts at each of T positions, and the token that follows there."""

    targets: np.ndarray
    """(T,): the tokens that follow."""
    losses: np.ndarray
    """(T,): -log of their probabilities, in nats."""
    ranks: np.ndarray
    """(T,): number of tokens that are more probable."""
    top_tokens: np.ndarray
    """(T, TOP): the most probable tokens."""
    top_probabilities: np.ndarray
    """(T, TOP)"""


class LogitLens(NamedTuple):
    """The logit lens (nostalgebraist 2020): the prediction after each layer, as if it were the last. Row 0 is the
    embedding.
    """

    top_tokens: np.ndarray
    """(L + 1, T): the most probable next token."""
    top_probabilities: np.ndarray
    """(L + 1, T)"""
    losses: np.ndarray
    """(L + 1, T): -log of the probability of the token that follows, in nats."""


class PredictionStats(NamedTuple):
    """Every prediction on many stories, in order: (N,) each."""

    story: np.ndarray
    """Index of its story."""
    position: np.ndarray
    """Number of tokens of the story read before: 0 for the first token."""
    losses: np.ndarray
    """-log of the probability of the token that follows, in nats."""
    confidence: np.ndarray
    """Probability of the most probable token."""
    correct: np.ndarray
    """Whether that token follows."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Accuracy by confidence, in the bins that hold predictions."""

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al. 2015): |confidence - accuracy|, averaged over predictions."""
        return float((np.abs(self.confidence - self.accuracy) * self.counts).sum() / self.counts.sum())


@torch.no_grad()
def predict_tokens(model: GPT, tokens: np.ndarray) -> TokenPredictions:
    """The predictions on a sequence of T + 1 tokens."""
    inputs, targets = _inputs_and_targets(model, tokens)
    log_probs = model(inputs)[0].float().cpu().log_softmax(-1)  # (T, V)
    own = log_probs.gather(-1, targets[:, None])  # (T, 1)
    top = log_probs.topk(min(TOP, log_probs.shape[1]), -1)
    return TokenPredictions(
        targets=tokens[1:],
        losses=-own[:, 0].numpy(),
        ranks=(log_probs > own).sum(-1).numpy(),
        top_tokens=top.indices.numpy(),
        top_probabilities=top.values.exp().numpy(),
    )


@torch.no_grad()
def logit_lens(model: GPT, tokens: np.ndarray) -> LogitLens:
    """Apply the last norm and the output layer to the residual stream after each layer, on T + 1 tokens."""
    inputs, targets = _inputs_and_targets(model, tokens)
    layers = []
    for x in record(model, inputs, RESIDUAL_STREAMS).values():
        log_probs = model.logits(model.norm(x[0])).float().cpu().log_softmax(-1)  # (T, V)
        top = log_probs.max(-1)
        layers.append((top.indices, top.values.exp(), -log_probs.gather(-1, targets[:, None])[:, 0]))
    return LogitLens(*(torch.stack(field).numpy() for field in zip(*layers, strict=True)))


@torch.no_grad()
def prediction_stats(model: GPT, sequences: Sequence[np.ndarray]) -> PredictionStats:
    """Every prediction on these sequences."""
    chunks, first = [], 0
    for inputs, targets in batches(sequences):
        real = targets != IGNORED
        story, position = real.nonzero(as_tuple=True)
        hidden = model.hidden(inputs.to(model.output_weight.device))[real.to(model.output_weight.device)]
        parts = (each.split(1024) for each in (hidden, targets[real], story + first, position))  # bounds the logits
        for h, target, stories, positions in zip(*parts, strict=True):
            logits = model.logits(h).float().cpu()
            total, top = logits.logsumexp(-1), logits.max(-1)
            loss = total - logits.gather(-1, target[:, None])[:, 0]
            confidence = (top.values - total).exp()
            chunks.append((stories, positions, loss.double(), confidence.double(), top.indices == target))
        first += len(inputs)
    return PredictionStats(*(torch.cat(field).numpy() for field in zip(*chunks, strict=True)))


def loss_by_position(stats: PredictionStats, bins: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First position, mean loss and number of predictions of each bin. Bins widen with the position, because the loss
    changes most at the start of a story.
    """
    longest = int(stats.position.max()) + 1
    edges = np.unique(np.round(np.geomspace(1, longest + 1, bins + 1)).astype(int)) - 1  # from 0 to longest
    which = np.searchsorted(edges, stats.position, side="right") - 1
    counts = np.bincount(which, minlength=len(edges) - 1)
    sums = np.bincount(which, weights=stats.losses, minlength=len(edges) - 1)
    filled = counts > 0
    return edges[:-1][filled], sums[filled] / counts[filled], counts[filled]


def calibration(stats: PredictionStats, bins: int = 10) -> Calibration:
    """Predictions in equally wide bins of confidence."""
    which = np.minimum((stats.confidence * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    filled = counts > 0
    return Calibration(
        confidence=np.bincount(which, weights=stats.confidence, minlength=bins)[filled] / counts[filled],
        accuracy=np.bincount(which, weights=stats.correct, minlength=bins)[filled] / counts[filled],
        counts=counts[filled],
    )


def _inputs_and_targets(model: GPT, tokens: np.ndarray) -> tuple[Tensor, Tensor]:
    """(1, T) on the model's device, and (T,) on the CPU."""
    return torch.from_numpy(tokens[None, :-1]).to(model.output_weight.device), torch.from_numpy(tokens[1:])
