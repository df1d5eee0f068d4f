"""Norms against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from talewright.config import ModelConfig
from talewright.model.norm import LayerNorm, RMSNorm, make_norm
from tests.model.shapes import SEEDS

PAIRS = [(LayerNorm, nn.LayerNorm), (RMSNorm, nn.RMSNorm)]


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
def test_norms_and_their_gradients_equal_torchs(ours: type[nn.Module], torchs: type[nn.Module]) -> None:
    @settings(max_examples=25)
    @given(d=st.integers(1, 33), eps=st.floats(1e-8, 1.0), scale=st.sampled_from([1e-3, 1.0, 1e3]), seed=SEEDS)
    def check(d: int, eps: float, scale: float, seed: int) -> None:
        torch.manual_seed(seed)
        mine, other = ours(d, eps), torchs(d, eps)
        with torch.no_grad():
            for parameter in mine.parameters():
                parameter.normal_()
        other.load_state_dict(mine.state_dict())
        x = (scale * torch.randn(2, 3, d)).requires_grad_()
        y, wanted = mine(x), other(x)
        torch.testing.assert_close(y, wanted, atol=1e-5, rtol=1e-4)
        upstream = torch.randn_like(y)
        mine_grads = torch.autograd.grad(y, [x, *mine.parameters()], upstream)
        other_grads = torch.autograd.grad(wanted, [x, *other.parameters()], upstream)
        for found, expected in zip(mine_grads, other_grads, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)

    check()


def test_rmsnorm_takes_its_statistics_in_float32() -> None:
    x = torch.full((1, 512), 300.0, dtype=torch.bfloat16)  # the sum of 512 squares rounds badly in bfloat16
    x[0, 0] = 1.0
    found = RMSNorm(512).to(torch.bfloat16)(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, nn.RMSNorm(512, 1e-5)(x.float()).bfloat16())


def test_the_recipe_chooses_the_norm_and_its_eps() -> None:
    assert isinstance(make_norm(ModelConfig(norm="layernorm")), LayerNorm)
    norm = make_norm(ModelConfig(norm="rmsnorm", norm_eps=0.5, d_model=32))
    assert isinstance(norm, RMSNorm)
    assert (norm.eps, norm.weight.shape) == (0.5, (32,))
