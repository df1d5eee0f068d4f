"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): matrices are moved along the orthogonal matrix
nearest to their mean gradient, so that every direction is learned at the same pace, the rare ones too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that five steps take small singular values near 1
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Moves each matrix, or each of the projections that lie in it one below the other: torch's own takes them for one.

    Parts of one shape are moved together, in one product of stacks: a small model has many small matrices. Updates are
    scaled to the size of AdamW's, so that its learning rates and weight decays fit (Liu et al. 2025, arXiv:2502.16982).
    `heights` tells the rows of each part of each matrix.
    """

    def __init__(
        self, heights: Mapping[Tensor, Sequence[int]], lr: float, weight_decay: float, momentum: float
    ) -> None:
        super().__init__(list(heights), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.heights = heights

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make the update; a matrix without a gradient stays as it is."""
        for group in self.param_groups:
            parts: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                mean = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(mean, group["momentum"])  # Nesterov's look ahead
                p.mul_(1 - group["lr"] * group["weight_decay"])
                heights = list(self.heights[p])
                for weight, part in zip(p.split(heights), update.split(heights), strict=True):
                    parts[part.shape].append((weight, part))
            for shape, pairs in parts.items():
                size = group["lr"] * 0.2 * max(shape) ** 0.5  # a root mean square of 0.2, as AdamW's updates have
                moves = orthogonal(torch.stack([part for _, part in pairs]))
                for (weight, _), move in zip(pairs, moves, strict=True):
                    weight.add_(move, alpha=-size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Of each matrix (N, rows, columns) about the nearest orthogonal one, in bfloat16: its singular values become 0.7
    to 1.2, by five steps of Newton and Schulz.
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # singular values of 1 at most
    a, b, c = QUINTIC
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
