"""The optimiser: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), with decay on matrices alone."""

from __future__ import annotations

import torch
from torch import nn

from talewright.config import OptimizerConfig


def make_optimizer(model: nn.Module, config: OptimizerConfig, learning_rate: float) -> torch.optim.AdamW:
    """AdamW over the model's parameters: embeddings and matrices decay; norms and biases, being vectors, do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=config.betas, fused=True)
