"""Normalization: bring each vector of the residual stream to a common scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig


class LayerNorm(nn.Module):
    """Center each vector, scale it to unit variance, then stretch and shift it: (x - mean) / sqrt(var + eps) * w + b.

    Ba, Kiros & Hinton 2016, arXiv:1607.06450. Input and output: (..., d). The formula is left to torch's own kernel,
    which reads x once.
    """

    def __init__(self, d: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Scale each vector to unit root mean square (Zhang & Sennrich 2019, arXiv:1910.07467).

    Input and output: (..., d), any float dtype. Statistics are taken in float32.
    """

    def __init__(self, d: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()  # bfloat16 loses the mean of squares
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + self.eps)
        return (h * self.weight).type_as(x)  # x may be bfloat16 where the weight is not


def make_norm(config: ModelConfig) -> LayerNorm | RMSNorm:
    """The recipe's norm over the model's width."""
    kind = LayerNorm if config.norm == "layernorm" else RMSNorm
    return kind(config.d_model, config.norm_eps)
