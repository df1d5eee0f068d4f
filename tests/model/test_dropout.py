from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talewright.model.dropout import dropout


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_values_are_dropped_at_the_rate_and_the_rest_scaled_to_keep_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1003)
    y = dropout(x, rate)
    share = (y == 0).double().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / x.numel()) ** 0.5 + 2**-16)
    assert y.unique().numel() == 2
    assert y.max().item() == pytest.approx(1 / (1 - rate), rel=1e-3)


def test_neighbours_are_dropped_independently_of_each_other() -> None:
    torch.manual_seed(1)
    dropped = (dropout(torch.ones(400_000), 0.25) == 0).double() - 0.25
    for lag in (1, 2, 3, 4, 5, 8):
        assert abs((dropped[lag:] * dropped[:-lag]).mean().item()) < 4 * 0.25 * 0.75 / 400_000**0.5


@given(shape=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_gradient_goes_where_the_values_went_and_the_seed_decides(shape: list[int], seed: int) -> None:
    x = torch.randn(shape).abs().add(1).requires_grad_()
    torch.manual_seed(seed)
    y = dropout(x, 0.5)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, y)
    torch.manual_seed(seed)
    assert torch.equal(dropout(x, 0.5), y)


def test_nothing_is_dropped_outside_training_or_at_rate_0() -> None:
    x = torch.randn(9)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x
