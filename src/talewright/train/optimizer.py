"""The optimiser: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), or Muon for the blocks' matrices beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from talewright.config import OptimizerConfig
from talewright.model.gpt import GPT, Block
from talewright.train.muon import Muon


def make_optimizer(model: GPT, config: OptimizerConfig, learning_rate: float) -> torch.optim.Optimizer:
    """The recipe's optimiser over the model's parameters: embeddings and matrices decay; norms and biases, being
    vectors, do not. Each group has its peak learning rate as `initial_lr`, as torch's own schedules have it.

    Muon has the matrices of the blocks; embeddings, the output layer and all vectors stay with AdamW.
    """
    moved = projections(model) if config.kind == "muon" else {}
    parameters = [p for p in model.parameters() if p.requires_grad and p not in moved]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    parts: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=learning_rate, betas=config.betas, fused=True),
    ]
    if moved:
        peak = config.matrix_learning_rate or learning_rate
        parts.append(Muon(moved, peak, config.weight_decay, config.momentum))
    for part in parts:
        for group in part.param_groups:
            group["initial_lr"] = group["lr"]
    return CombinedOptimizer(parts) if len(parts) > 1 else parts[0]


def projections(model: GPT) -> dict[Tensor, tuple[int, ...]]:
    """The matrices of the blocks, each with the heights of the projections that lie in it one below the other."""
    heights: dict[Tensor, tuple[int, ...]] = {}
    for block in cast(list[Block], model.blocks):
        attention, mlp = block.attention, block.mlp
        keys = attention.kv_heads * attention.head_dim
        heights[attention.qkv.weight] = (attention.n_heads * attention.head_dim, keys, keys)
        heights[attention.out.weight] = (attention.out.out_features,)
        width = mlp.down.in_features
        heights[mlp.up.weight] = (width,) * (mlp.up.out_features // width)  # SwiGLU's gate and values
        heights[mlp.down.weight] = (mlp.down.out_features,)
    return heights


class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers as one, each with its own parameters; their groups and their state are shared."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self.optimizers = optimizers
        for optimizer in optimizers:
            optimizer.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Make each optimizer's update; the closure, if any, is called once before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss
