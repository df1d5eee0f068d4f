"""Random projections of the gradients, with the optimizer's second moments in them.

AdamW divides each value of a gradient by the root of its second moment V. Here V is that of Adafactor (Shazeer & Stern
2018, arXiv:1804.04235), row means times column means over the whole mean: then the division is a factor for each row
and one for each column, and becomes part of the two sides of a projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from talewright.inspect.influence.gradients import KroneckerProjection, matrices
from talewright.model.gpt import GPT
from talewright.model.loss import cross_entropy
from talewright.run.checkpoint import OPTIMIZER, check

ADAMW_MOMENT = "exp_avg_sq."
RARE = 0.01
"""Added to a row's or a column's second moment, as a share of the mean: the rarest tokens are not blown up."""


class SecondMoment(NamedTuple):
    """The mean square of a matrix's gradient (d_out, d_in), by row and by column."""

    rows: Tensor
    """(d_out,)"""
    columns: Tensor
    """(d_in,)"""

    @staticmethod
    def of(squares: Tensor) -> SecondMoment:
        return SecondMoment(squares.mean(1), squares.mean(0))


def saved_moments(checkpoint: Path, model: GPT) -> dict[str, SecondMoment]:
    """AdamW's second moments in a checkpoint, of the matrices that AdamW trains: none if its file is not whole."""
    if check(checkpoint, (OPTIMIZER,)) is not None:
        return {}
    with safe_open(checkpoint / OPTIMIZER, "pt") as file:
        names = {key.removeprefix(ADAMW_MOMENT) for key in file.keys() if key.startswith(ADAMW_MOMENT)}  # noqa: SIM118
        tensors = {name: file.get_tensor(ADAMW_MOMENT + name).float() for name in matrices(model) if name in names}
    shapes = {name: weight.shape for name, weight in matrices(model).items()}
    return {name: SecondMoment.of(value) for name, value in tensors.items() if value.shape == shapes[name]}


def measured_moments(
    model: GPT, batches: Iterable[tuple[Tensor, Tensor]], dtype: torch.dtype | None = None
) -> dict[str, SecondMoment]:
    """Second moments of the mean loss's gradient over batches (tokens and targets, (B, T) each), for an optimizer that
    keeps none: Muon. `dtype` is that of matrix products, by default the weights'.
    """
    weights, device = matrices(model), model.output_weight.device
    dtype = dtype or model.output_weight.dtype
    sums = {name: [torch.zeros(size) for size in weight.shape] for name, weight in weights.items()}
    count = 0
    for tokens, targets in batches:
        tokens, targets = tokens.to(device), targets.to(device)
        mixed = torch.autocast(device.type, dtype, enabled=dtype != model.output_weight.dtype)
        with torch.enable_grad(), mixed:
            loss = cross_entropy(model.hidden(tokens), model.output_weight, targets) / (targets >= 0).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for (rows, columns), gradient in zip(sums.values(), gradients, strict=True):
            moment = SecondMoment.of(gradient.float().square().cpu())
            rows += moment.rows
            columns += moment.columns
        count += 1
    return {name: SecondMoment(rows / count, columns / count) for name, (rows, columns) in sums.items()}


def random_projections(
    model: GPT, moments: Mapping[str, SecondMoment], side: int, seed: int
) -> dict[str, KroneckerProjection]:
    """A projection to (side, side) of each of `matrices`, with entries from N(0, 1/side) times the factors of the
    second moments. On the CPU, in float32.
    """
    generator, projections = torch.Generator().manual_seed(seed), {}
    for name, weight in matrices(model).items():
        out, into = (torch.randn(side, size, generator=generator) / side**0.5 for size in weight.shape)
        moment = moments[name]
        mean = moment.rows.mean().clamp(min=1e-30)
        out *= (moment.rows + RARE * mean).rsqrt()
        into *= (moment.columns / mean + RARE).rsqrt()
        projections[name] = KroneckerProjection(out, into)
    return projections
