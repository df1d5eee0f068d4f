"""Dropout: at its rate, in each place apart, and with the mean kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch._dynamo
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.machine import compiler
from talewright.model.dropout import dropout
from tests.model.shapes import SEEDS

Drop = Callable[[torch.Tensor, float], torch.Tensor]


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
    assert_gradients_pass(dropout, shape, rate, dtype, seed)


def assert_gradients_pass(drop: Drop, shape: list[int], rate: float, dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    x = (1 + torch.rand(shape)).to(dtype).requires_grad_()
    y = drop(x, rate)
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


def compiled_dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """What training compiles, run by torch's own operators: `aot_eager` takes the same branches."""
    torch._dynamo.reset()
    return torch.compile(dropout, fullgraph=True, dynamic=False, backend="aot_eager")(x, rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(2_000, 16), (3, 50, 200), (4, 8, 30, 30)])
def test_compiled_values_are_dropped_at_the_rate_and_independently(rate: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    found = compiled_dropout(torch.ones(shape), rate)
    kept = (found != 0).double()
    spread = (rate * (1 - rate) / kept.numel()) ** 0.5
    assert kept.mean().item() == pytest.approx(1 - rate, abs=5 * spread + 2**-16)
    assert found[found != 0].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=1e-3)
    rows = kept.flatten(0, -2)
    rows = rows[:, rows.std(0) > 0]
    correlation = torch.corrcoef(rows.T) - torch.eye(rows.shape[1])
    assert correlation.abs().max() < 6 / len(rows) ** 0.5  # columns
    flat = kept.flatten() - kept.mean()
    for lag in (1, shape[-1], shape[-1] + 1, 2 * shape[-1]):
        assert abs((flat[lag:] * flat[:-lag]).mean() / flat.square().mean()) < 6 / len(flat) ** 0.5


def test_compiled_dropout_follows_the_seed() -> None:
    """Anew at each call, and the same from the same seed: resuming repeats a run."""
    x = torch.ones(50, 64)
    torch.manual_seed(1)
    first, second = compiled_dropout(x, 0.5), compiled_dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(compiled_dropout(x, 0.5), first)
    assert not torch.equal(first, second)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    rate=st.floats(0.01, 0.99),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=SEEDS,
)
def test_compiled_gradients_pass_where_values_do(shape: list[int], rate: float, dtype: torch.dtype, seed: int) -> None:
    assert_gradients_pass(compiled_dropout, shape, rate, dtype, seed)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("shape", [[6, 40, 33], [3, 4, 64, 64]])
def test_generated_code_drops_the_same_values_forward_and_backward(shape: list[int]) -> None:
    """The backward pass computes the hash again, from the same random numbers."""
    torch._dynamo.reset()
    drop = torch.compile(dropout, fullgraph=True, dynamic=False, options={"fallback_random": True})
    assert_gradients_pass(drop, shape, 0.3, torch.float32, 5)
    kept = drop(torch.ones(shape), 0.3) != 0
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.03)
