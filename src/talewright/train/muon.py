"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): the update of a matrix is the orthogonal matrix
nearest to its momentum, so that all directions are learned at the same rate, rare ones too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that five steps bring small singular values near 1
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Updates each matrix, or each of the projections stacked in it; `torch.optim.Muon` treats a stack as one matrix.

    `split_sizes` gives the number of rows of each projection in each matrix. Projections of one shape are updated
    together, as one batched product, because a small model has many small matrices. Updates are scaled to the size of
    AdamW's, so that its learning rates and weight decays fit (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(
        self, split_sizes: Mapping[Tensor, Sequence[int]], lr: float, weight_decay: float, momentum: float
    ) -> None:
        super().__init__(list(split_sizes), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.split_sizes = split_sizes

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                momentum = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"])  # Nesterov
                p.mul_(1 - group["lr"] * group["weight_decay"])
                sizes = list(self.split_sizes[p])
                for weight, gradient in zip(p.split(sizes), update.split(sizes), strict=True):
                    by_shape[gradient.shape].append((weight, gradient))
            for shape, pairs in by_shape.items():
                scale = group["lr"] * 0.2 * max(shape) ** 0.5  # a root mean square of 0.2, like AdamW's updates
                updates = newton_schulz(torch.stack([gradient for _, gradient in pairs]))
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.add_(update, alpha=-scale)


def newton_schulz(matrices: Tensor) -> Tensor:
    """Approximate the orthogonal matrix nearest to each of `matrices` (N, rows, columns) with Newton-Schulz steps.

    Computes in bfloat16; singular values end between 0.7 and 1.2.
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
