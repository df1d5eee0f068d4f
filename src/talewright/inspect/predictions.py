"""What a model expects: token by token, layer by layer, by position in the context, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talewright.inspect.activations import record
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED

EXPECTED = 5
"""Expectations that are shown of each token."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A story as the model reads it: what it expected at each token, and what came. T predictions."""

    tokens: np.ndarray
    """(T + 1,): the end of text before the story, its tokens, the end of text after it where it fits in."""
    losses: np.ndarray
    """(T,): -log of the probability that the next token had, in nats."""
    ranks: np.ndarray
    """(T,): how many tokens the model found likelier."""
    expected: np.ndarray
    """(T, EXPECTED): the likeliest tokens."""
    probabilities: np.ndarray
    """(T, EXPECTED): of these."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """The logit lens (nostalgebraist 2020): what each layer would tell, were it the last. L + 1 rows, the first of
    them the embedding.
    """

    guesses: np.ndarray
    """(L + 1, T): the likeliest next token."""
    probabilities: np.ndarray
    """(L + 1, T): of it."""
    losses: np.ndarray
    """(L + 1, T): -log of the probability of the token that came, in nats."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Every prediction of many stories, in order: (N,) each."""

    story: np.ndarray
    """Which story it belongs to."""
    position: np.ndarray
    """How many tokens of the story were read before: 0 for its first token."""
    losses: np.ndarray
    """-log of the probability of the token that came, in nats."""
    confidence: np.ndarray
    """The probability of the token that was the likeliest."""
    hits: np.ndarray
    """Whether it came."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How often the model is right, by how sure it is. Only bins that hold predictions."""

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al. 2015): |confidence - accuracy|, averaged over predictions."""
        return float((np.abs(self.confidence - self.accuracy) * self.counts).sum() / self.counts.sum())


@torch.no_grad()
def read(model: GPT, tokens: np.ndarray) -> Reading:
    """Read a passage, (T + 1,) ids."""
    coming = torch.from_numpy(tokens[1:])
    inputs = torch.from_numpy(tokens[None, :-1]).to(model.output_weight.device)
    logits = model(inputs)[0].float().cpu()  # (T, V)
    logs = logits.log_softmax(-1)
    own = logs.gather(-1, coming[:, None])
    top = logs.topk(min(EXPECTED, logs.shape[1]), -1)
    return Reading(
        tokens=tokens,
        losses=-own[:, 0].numpy(),
        ranks=(logs > own).sum(-1).numpy(),
        expected=top.indices.numpy(),
        probabilities=top.values.exp().numpy(),
    )


@torch.no_grad()
def look_by_layer(model: GPT, tokens: np.ndarray) -> Lens:
    """The logit lens of a passage, (T + 1,) ids: each layer's stream through the last norm and the output layer."""
    coming = torch.from_numpy(tokens[1:])
    inputs = torch.from_numpy(tokens[None, :-1]).to(model.output_weight.device)
    guesses, probabilities, losses = [], [], []
    for stream in record(model, inputs, ["embedding", "blocks.*.resid_post"]).values():
        logs = model.logits(model.norm(stream[0])).float().cpu().log_softmax(-1)  # (T, V)
        best = logs.max(-1)
        guesses.append(best.indices)
        probabilities.append(best.values.exp())
        losses.append(-logs.gather(-1, coming[:, None])[:, 0])
    return Lens(guesses=_stack(guesses), probabilities=_stack(probabilities), losses=_stack(losses))


@torch.no_grad()
def survey(model: GPT, passages: Sequence[np.ndarray]) -> Survey:
    """Every prediction on these passages."""
    story, position, losses, confidence, hits = [], [], [], [], []
    first = 0
    for inputs, targets in batches(passages):
        real = targets != IGNORED
        rows, places = real.nonzero(as_tuple=True)
        hidden = model.hidden(inputs.to(model.output_weight.device))[real.to(model.output_weight.device)]
        for h, coming in zip(hidden.split(1024), targets[real].split(1024), strict=True):  # not all logits at once
            logits = model.logits(h).float().cpu()
            total = logits.logsumexp(-1)
            best = logits.max(-1)
            losses.append(total - logits.gather(-1, coming[:, None])[:, 0])
            confidence.append((best.values - total).exp())
            hits.append(best.indices == coming)
        story.append(rows + first)
        position.append(places)
        first += len(inputs)
    return Survey(
        story=torch.cat(story).numpy(),
        position=torch.cat(position).numpy(),
        losses=torch.cat(losses).double().numpy(),
        confidence=torch.cat(confidence).double().numpy(),
        hits=torch.cat(hits).numpy(),
    )


def by_position(found: Survey, bins: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First position of each bin, mean loss in it, and its number of predictions. Bins widen as they go: what a
    context gives is gained at its beginning.
    """
    longest = int(found.position.max()) + 1
    edges = np.unique(np.round(np.geomspace(1, longest + 1, bins + 1)).astype(int)) - 1  # from 0 to longest
    which = np.searchsorted(edges, found.position, side="right") - 1
    counts = np.bincount(which, minlength=len(edges) - 1)
    sums = np.bincount(which, weights=found.losses, minlength=len(edges) - 1)
    kept = counts > 0
    return edges[:-1][kept], sums[kept] / counts[kept], counts[kept]


def calibration(found: Survey, bins: int = 10) -> Calibration:
    """Predictions shared out by confidence into equally wide bins."""
    which = np.minimum((found.confidence * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    kept = counts > 0
    return Calibration(
        confidence=np.bincount(which, weights=found.confidence, minlength=bins)[kept] / counts[kept],
        accuracy=np.bincount(which, weights=found.hits, minlength=bins)[kept] / counts[kept],
        counts=counts[kept],
    )


def _stack(parts: list[Tensor]) -> np.ndarray:
    return torch.stack(parts).numpy()
