"""The feed-forward half of a block: every position by itself, wider, through a non-linearity, and back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.model.dropout import dropout


class MLP(nn.Module):
    """D -> d_ff -> D. GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415) by its tanh formula or exact, ReLU squared
    (So et al. 2021, arXiv:2109.08668), or SwiGLU (Shazeer 2020, arXiv:2002.05202), whose `up` holds the gate's rows
    first and then the values'.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.dropout = config.dropout if "mlp" in config.dropout_sites else 0.0
        width = 2 * config.d_ff if self.activation == "swiglu" else config.d_ff
        self.up = nn.Linear(config.d_model, width, bias="mlp" in config.bias)
        self.down = nn.Linear(config.d_ff, config.d_model, bias="mlp" in config.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D)
        h = self.activate(self.up(x))  # (B, T, d_ff)
        return self.down(dropout(h, self.dropout, self.training))

    def activate(self, h: Tensor) -> Tensor:
        if self.activation == "swiglu":
            gate, value = h.chunk(2, -1)
            return F.silu(gate) * value
        if self.activation == "relu2":
            return F.relu(h).square()
        return F.gelu(h, approximate="tanh" if self.activation == "gelu_tanh" else "none")
