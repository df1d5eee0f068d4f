"""The feed-forward layer against its formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import MLP


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu2(x: Tensor) -> Tensor:
    return x.clamp(min=0) ** 2


def swiglu(x: Tensor) -> Tensor:
    return x[..., :24] * torch.sigmoid(x[..., :24]) * x[..., 24:]


@pytest.mark.parametrize("bias", [(), ("mlp",)])
@pytest.mark.parametrize("formula", [gelu, gelu_tanh, relu2, swiglu])
def test_feed_forward_follows_its_formula(formula: Any, bias: Any) -> None:
    torch.manual_seed(0)
    mlp = MLP(ModelConfig(d_model=16, n_heads=1, d_ff=24, activation=formula.__name__, bias=bias)).double()
    x = 3 * torch.randn(2, 5, 16, dtype=torch.float64)
    up, down = (layer.weight for layer in (mlp.up, mlp.down))
    expected = formula(x @ up.T + (mlp.up.bias if bias else 0)) @ down.T + (mlp.down.bias if bias else 0)
    torch.testing.assert_close(mlp(x, None), expected, atol=1e-12, rtol=1e-9)


def test_the_two_gelus_differ() -> None:
    x = torch.linspace(-3, 3, 100)
    exact, tanh = (MLP(ModelConfig(activation=kind)).activate(x) for kind in ("gelu", "gelu_tanh"))
    assert 1e-5 < (exact - tanh).abs().max() < 1e-2
