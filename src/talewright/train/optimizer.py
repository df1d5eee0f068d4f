"""The optimiser: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), or Muon for the blocks' matrices beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from talewright.config import OptimizerConfig
from talewright.model.gpt import GPT, Block
from talewright.train.muon import Muon

KEPT_BY_ADAMW = ("step", "exp_avg", "exp_avg_sq")
KEPT_BY_MUON = ("momentum_buffer",)


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
    return Together(parts, config.cautious_decay) if len(parts) > 1 or config.cautious_decay else parts[0]


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


class Together(torch.optim.Optimizer):
    """Several optimisers as one, each with parameters of its own: their groups and their state, seen as one's.

    Where it is cautious, a weight decays only while its update, too, brings it nearer to 0 (Chen et al. 2025,
    arXiv:2510.12402): otherwise the two would work against each other.
    """

    def __init__(self, parts: list[torch.optim.Optimizer], cautious: bool = False) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        for part in parts:
            part.state = self.state
        self.decays = [group["weight_decay"] if cautious else 0.0 for group in self.param_groups]
        for group in self.param_groups if cautious else ():
            group["weight_decay"] = 0.0  # its own optimiser is not to decay it as well

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Have each make its update; the closure, where there is one, is called once before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        cautious = [(group, decay) for group, decay in zip(self.param_groups, self.decays, strict=True) if decay]
        before = [[p.clone() for p in group["params"]] for group, _ in cautious]
        for part in self.parts:
            part.step()
        for (group, decay), olds in zip(cautious, before, strict=True):
            for p, old in zip(group["params"], olds, strict=True):
                nearer = (old - p) * old >= 0  # what the update took off has the weight's own sign
                p.addcmul_(old, nearer, value=-group["lr"] * decay)
        return loss


def kept_values(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, tuple[str, ...]]:
    """Of each parameter, the names of what the optimiser keeps of it from one update to the next."""
    return {
        parameter: KEPT_BY_MUON if "momentum" in group else KEPT_BY_ADAMW
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
