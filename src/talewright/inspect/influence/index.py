"""The projected gradients of a run's training stories, kept in `RUN/influence/` so that a second query is fast.

`index.safetensors` has the stories' numbers, their gradients (whitened and of unit length, in float16), and what a
query's gradient is projected and whitened with. `index.json` says of which checkpoint and corpus they are; the index is
computed again when it is of others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from talewright.files import atomic_folder, error_reason, read_json, write_json
from talewright.inspect.influence.gradients import GradientProjector, KroneckerProjection, matrices
from talewright.inspect.influence.projections import SecondMoment, measured_moments, random_projections
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT

logger = logging.getLogger(__name__)
FOLDER, INDEX, METADATA = "influence", "index.safetensors", "index.json"
VERSION = 1
DIMENSIONS = 8192
"""Largest number of values of a projected gradient; each matrix has the same share. Cosines of gradients are small, and
the noise of a projection is about the inverse root of this number: for a story-3m, scores of 120 stories before
whitening had a rank correlation with those of whole gradients of 0.2 with 1,700, 0.4 with 3,825 and 0.5 with 7,497."""
SEED = 0
"""Of the random projections."""
BATCH_TOKENS = 8192
MOMENT_BATCHES, MOMENT_TOKENS = 8, 4096
"""Batches on which second moments are measured, and their size."""
DAMPING = 0.1
"""Added to each matrix's mean of gradient products before whitening, as a share of its mean eigenvalue."""


@dataclass(frozen=True, kw_only=True)
class InfluenceIndex:
    """Projected gradients of training stories, and what projects a query's gradient into the same space."""

    numbers: Tensor
    """(N,): the number of each story in its split."""
    gradients: Tensor
    """(N, d): float16, each of unit length."""
    projections: dict[str, KroneckerProjection]
    whitening: dict[str, Tensor]
    """For each matrix, the inverse root of the mean of g g^T over stories: (k * k, k * k)."""

    @property
    def side(self) -> int:
        return len(next(iter(self.projections.values())).out)

    def projector(self, model: GPT, dtype: torch.dtype | None = None) -> GradientProjector:
        return GradientProjector(model, self.projections, dtype)

    def query(self, gradients: Tensor) -> Tensor:
        """Gradients from `projector` (B, d) in the space of the index: whitened, and of unit length."""
        return F.normalize(whiten(gradients.float().cpu(), self.whitening))

    def scores(self, query: Tensor) -> Tensor:
        """The influence of every story on each query (B, d): cosines, (B, N)."""
        return torch.cat([query @ part.float().T for part in self.gradients.split(8192)], 1)

    def direction(self, query: Tensor) -> Tensor:
        """The vector (d,) whose inner product with a story's gradient, before whitening, is in proportion to the
        influence of the story on the query (d,)."""
        return whiten(query[None], self.whitening)[0]  # the whitening is symmetric


def whiten(gradients: Tensor, whitening: Mapping[str, Tensor]) -> Tensor:
    """Multiply each matrix's part of the gradients (B, d) by its inverse root."""
    parts = gradients.split([len(root) for root in whitening.values()], 1)
    return torch.cat([part @ root for part, root in zip(parts, whitening.values(), strict=True)], 1)


def build_index(
    model: GPT,
    numbers: Sequence[int],
    sequences: Sequence[np.ndarray],
    saved: Mapping[str, SecondMoment] | None = None,
    dtype: torch.dtype | None = None,
    dimensions: int = DIMENSIONS,
    advance: Callable[[int], None] = lambda stories: None,
) -> InfluenceIndex:
    """The index of sequences (each with the tokens around it, `inspect.sequences.make_sequence`).

    saved: second moments of the optimizer, by matrix; those of other matrices are measured on some of the sequences.
    dtype: of matrix products. `advance` is called with the number of stories after each batch.
    """
    moments = dict(saved or {})
    if matrices(model).keys() - moments.keys():
        moments = measured_moments(model, _some_batches(sequences), dtype) | moments
    side = max(1, int((dimensions / len(moments)) ** 0.5))
    projections = random_projections(model, moments, side, SEED)
    projector = GradientProjector(model, projections, dtype)
    gradients = torch.empty(len(sequences), len(projections) * side * side)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))  # little padding
    done = 0
    for tokens, targets in batches([sequences[i] for i in order], BATCH_TOKENS):
        rows = order[done : done + len(tokens)]
        gradients[rows] = projector.gradients(tokens, targets).float().cpu()
        done += len(tokens)
        advance(len(tokens))
    F.normalize(gradients, out=gradients)  # in place: of many stories this is the largest tensor by far
    whitening = inverse_roots(gradients, list(projections))
    for part, root in zip(gradients.chunk(len(whitening), 1), whitening.values(), strict=True):
        part.copy_(part @ root)
    gradients = F.normalize(gradients, out=gradients).half()
    return InfluenceIndex(
        numbers=torch.tensor(list(numbers)), gradients=gradients, projections=projections, whitening=whitening
    )


def inverse_roots(gradients: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """For each matrix, (R + damping)^(-1/2), where R is the mean of g g^T over the stories' gradients (N, d)."""
    roots = {}
    for name, part in zip(names, gradients.chunk(len(names), 1), strict=True):
        mean = part.double().T @ part.double() / len(part)
        values, vectors = torch.linalg.eigh(mean)
        values = values.clamp(min=0) + DAMPING * values.mean().clamp(min=1e-30)
        roots[name] = ((vectors * values.rsqrt()) @ vectors.T).float()
    return roots


def save_index(folder: Path, index: InfluenceIndex, key: Mapping[str, Any]) -> None:
    """Write the index and its key, all or nothing. A folder that cannot be written is logged as a warning."""
    tensors = {"numbers": index.numbers, "gradients": index.gradients}
    for name, (out, into) in index.projections.items():
        tensors |= {f"out.{name}": out, f"into.{name}": into, f"whitening.{name}": index.whitening[name]}
    try:
        with atomic_folder(folder) as partial:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial / INDEX)
            write_json(partial / METADATA, dict(key))
    except (OSError, SafetensorError) as error:
        logger.warning("%s cannot be written: %s. The next call computes it again", folder, error_reason(error))


def load_index(folder: Path, key: Mapping[str, Any], model: GPT) -> InfluenceIndex | None:
    """The index in the folder; None if there is none, or one with another key, or a damaged one."""
    if read_json(folder / METADATA) != dict(key):
        return None
    try:
        tensors = load_file(folder / INDEX)
        names = list(matrices(model))
        index = InfluenceIndex(
            numbers=tensors["numbers"],
            gradients=tensors["gradients"],
            projections={n: KroneckerProjection(tensors[f"out.{n}"], tensors[f"into.{n}"]) for n in names},
            whitening={n: tensors[f"whitening.{n}"] for n in names},
        )
    except (OSError, SafetensorError, KeyError):
        return None
    size = len(names) * index.side**2
    return index if index.gradients.shape == (len(index.numbers), size) else None


def _some_batches(sequences: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
    """Some batches of sequences from everywhere among them."""
    mean_length = max(1, sum(map(len, sequences)) // len(sequences))
    wanted = min(len(sequences), MOMENT_BATCHES * max(1, MOMENT_TOKENS // mean_length))
    chosen = np.linspace(0, len(sequences) - 1, wanted).astype(int)
    yield from batches([sequences[i] for i in chosen], MOMENT_TOKENS)
