"""Dropout: at its rate, in each place apart, and with the mean kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.model.dropout import dropout
from tests.model.shapes import SEEDS


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9, 0.99999])
def test_values_are_dropped_at_the_rate_and_the_rest_keep_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    n = 400_000
    found = dropout(torch.ones(n), rate)
    spread = (rate * (1 - rate) / n) ** 0.5
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=5 * spread + 2**-16)
    kept = found[found != 0]
    assert len(kept.unique()) <= 1
    assert torch.all((kept - 1 / (1 - rate)).abs() < (0.001 if rate < 0.999 else 1) / (1 - rate))


@pytest.mark.parametrize("rate", [0.999999, 0.99999999])
def test_a_rate_next_to_1_drops_nearly_all(rate: float) -> None:
    found = dropout(torch.ones(1000), rate)
    assert found.isfinite().all()
    assert (found == 0).float().mean() > 0.9


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(100_000, 8), 0.3) != 0).double()
    assert torch.allclose(kept.mean(0), torch.full((8,), 0.7, dtype=torch.double), atol=0.01)
    together = torch.corrcoef(kept.T) - torch.eye(8)
    assert together.abs().max() < 0.02


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    rate=st.floats(0, 0.999),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=SEEDS,
)
def test_gradients_pass_where_values_do(shape: list[int], rate: float, dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    x = (1 + torch.rand(shape)).to(dtype).requires_grad_()
    y = dropout(x, rate)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_nothing_is_dropped_when_not_training_or_at_rate_0() -> None:
    x = torch.randn(100)
    state = torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x
    assert torch.equal(state, torch.get_rng_state())  # nor is a random number spent


def test_the_same_seed_drops_the_same() -> None:
    def dropped() -> torch.Tensor:
        torch.manual_seed(7)
        return dropout(torch.ones(50), 0.5)

    assert torch.equal(dropped(), dropped())
