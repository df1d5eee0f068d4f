"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): the update of a matrix is the orthogonal matrix
nearest to its momentum, so that all directions are learned at the same rate, rare ones too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch import distributed as dist

QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that five steps bring small singular values near 1
STEPS = 5
foreach: Any = torch
"""torch's functions of lists of tensors, which are not declared: on a GPU one kernel for a whole list."""


class Muon(torch.optim.Optimizer):
    """Updates each matrix, or each of the projections stacked in it; `torch.optim.Muon` treats a stack as one matrix.

    `split_sizes` gives the number of rows of each projection in each matrix. Projections of one shape are updated
    together, as one batched product, because a small model has many small matrices. Updates are scaled to the size of
    AdamW's, so that its learning rates and weight decays fit (Liu et al. 2025, arXiv:2502.16982). `dtype` is that of
    the matrix products.

    Several processes, which have the same gradients, may each orthogonalize a share of the matrices.
    """

    def __init__(
        self,
        split_sizes: Mapping[Tensor, Sequence[int]],
        lr: float,
        weight_decay: float,
        momentum: float,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(list(split_sizes), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.split_sizes, self.dtype = split_sizes, dtype
        together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.shared = together and (dist.get_backend() == "nccl" or dtype == torch.float32)
        """Whether processes share the work: on CPUs, products in bfloat16 are faster than sending them."""
        self.found_inf: Tensor | None = None
        """1 if the next step is to change nothing, else 0: a scalar that torch's GradScaler, too, would set."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient, unless `found_inf` is 1."""
        found = self.found_inf
        if found is None or (found.device.type == "cpu" and not found):  # on a GPU the host would wait for the value
            self.update(None)
        else:
            self.update(found > 0)

    @torch.no_grad()
    def update(self, skipped: Tensor | None) -> None:
        """Update all matrices that have a gradient; nothing changes where `skipped`, a bool scalar, is true."""
        for group in self.param_groups:
            by_shape = self._update_momentum(group, skipped)
            stacks = (torch.stack([gradient for _, gradient in pairs]) for pairs in by_shape.values())
            for (shape, pairs), orthogonal in zip(by_shape.items(), self._orthogonalize(stacks), strict=True):
                scale = group["lr"] * 0.2 * max(shape) ** 0.5  # a root mean square of 0.2, like AdamW's updates
                updates = orthogonal if skipped is None else orthogonal.masked_fill(skipped, 0)
                weights = [weight for weight, _ in pairs]
                updates = updates.to(weights[0].dtype, memory_format=torch.contiguous_format)
                foreach._foreach_add_(weights, list(updates), alpha=-scale)

    def _update_momentum(
        self, group: dict[str, Any], skipped: Tensor | None
    ) -> dict[torch.Size, list[tuple[Tensor, Tensor]]]:
        """Update the momentum and decay the weights. Returns, by shape, projections and what to orthogonalize."""
        decay: float | Tensor = 1 - group["lr"] * group["weight_decay"]
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return by_shape
        momenta = [self._momentum(p) for p in parameters]
        gradients = [cast(Tensor, p.grad) for p in parameters]
        if skipped is not None:  # 0 * NaN would be NaN
            gradients = [torch.where(skipped, old, new) for old, new in zip(momenta, gradients, strict=True)]
            decay = torch.where(skipped, 1.0, decay)
        foreach._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = foreach._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov
        foreach._foreach_mul_(parameters, decay)
        for p, update in zip(parameters, updates, strict=True):
            sizes = list(self.split_sizes[p])
            for weight, part in zip(p.split(sizes), update.split(sizes), strict=True):
                by_shape[part.shape].append((weight, part))
        return by_shape

    def _momentum(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return cast(Tensor, state["momentum_buffer"])

    def _orthogonalize(self, stacks: Iterator[Tensor]) -> Iterator[Tensor]:
        """The orthogonal matrices nearest to those of each stack (N, rows, columns)."""
        if not self.shared:
            yield from (newton_schulz(stack, self.dtype) for stack in stacks)
            return
        # results travel while the next stack is computed
        for result, work in [share_newton_schulz(stack, self.dtype) for stack in stacks]:
            work.wait()
            yield result


def share_newton_schulz(matrices: Tensor, dtype: torch.dtype) -> tuple[Tensor, dist.Work]:
    """`newton_schulz` of an equal share of the matrices in each process.

    Returns a tensor that holds the results of all processes after `Work.wait`.
    """
    share = -(-len(matrices) // dist.get_world_size())
    first = share * dist.get_rank()
    mine = matrices.new_zeros((share, *matrices.shape[1:]), dtype=dtype)
    if first < len(matrices):
        part = matrices[first : first + share]
        mine[: len(part)] = newton_schulz(part, dtype)
    received = mine.new_empty((share * dist.get_world_size(), *matrices.shape[1:]))
    work = dist.all_gather(list(received.split(share)), mine, async_op=True)
    return received[: len(matrices)], cast(dist.Work, work)


def newton_schulz(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Approximate the orthogonal matrix nearest to each of `matrices` (N, rows, columns) with Newton-Schulz steps.

    Computes in `dtype`; singular values end between 0.7 and 1.2.
    """
    x = matrices.to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # singular values of 1 at most
    a, b, c = QUINTIC
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
