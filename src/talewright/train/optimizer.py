"""The optimizer: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), with Muon for the blocks' matrices and AdaGrad for
a table of bigrams, where the recipe says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from talewright.config import OptimizerConfig
from talewright.machine import Precision
from talewright.model.gpt import GPT, Block
from talewright.train.adagrad import RowAdagrad
from talewright.train.muon import Muon


def make_optimizer(
    model: GPT, config: OptimizerConfig, learning_rate: float, precision: Precision = "bf16"
) -> torch.optim.Optimizer:
    """The recipe's optimizer. Weight decay applies to matrices and embeddings, not to vectors (norms and biases).

    With `muon`, Muon updates the matrices of the blocks, and AdamW the embeddings, the output layer and all vectors.
    AdaGrad updates a bigram embedding, without weight decay.
    `precision` is that of Muon's matrix products, except that fp16, whose range is too small for them, becomes fp32.
    Each parameter group has its peak learning rate as `initial_lr`, like those of torch's schedulers.
    """
    matrices = projections(model) if config.kind == "muon" else {}
    tables = set[Tensor]() if model.bigrams is None else {model.bigrams.weight}
    others = [p for p in model.parameters() if p.requires_grad and p not in matrices and p not in tables]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=learning_rate, betas=config.betas, fused=True),
    ]
    if matrices:
        peak = config.matrix_learning_rate or learning_rate
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        optimizers.append(Muon(matrices, peak, config.weight_decay, config.momentum, dtype))
    if tables:
        optimizers.append(RowAdagrad(tables, learning_rate))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return CombinedOptimizer(optimizers) if len(optimizers) > 1 else optimizers[0]


def projections(model: GPT) -> dict[Tensor, tuple[int, ...]]:
    """The matrices of the blocks, each with the split sizes (rows) of the projections stacked in it."""
    split_sizes: dict[Tensor, tuple[int, ...]] = {}
    for block in cast(list[Block], model.blocks):
        attention, mlp = block.attention, block.mlp
        keys = attention.kv_heads * attention.head_dim
        split_sizes[attention.qkv.weight] = (attention.n_heads * attention.head_dim, keys, keys)
        split_sizes[attention.out.weight] = (attention.out.out_features,)
        d_ff = mlp.down.in_features
        split_sizes[mlp.up.weight] = (d_ff,) * (mlp.up.out_features // d_ff)  # SwiGLU: gate and values
        split_sizes[mlp.down.weight] = (mlp.down.out_features,)
    return split_sizes


class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers, each with its own parameters, as one; parameter groups and state are shared."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self.optimizers = optimizers
        self.found_inf: Tensor | None = None
        """1 if this step is not to be made, else 0: read on the device, as torch's GradScaler has it."""
        for optimizer in optimizers:
            optimizer.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Step each optimizer, after one call of the closure, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            cast(Any, optimizer).found_inf = self.found_inf
            optimizer.step()
        return loss
