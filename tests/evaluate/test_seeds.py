"""Intervals over seeds: against a quadrature of Student's density, and by how often they cover the truth."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.evaluate.seeds import difference, half_width, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 15, 16, 30, 200])
def test_975_of_1000_values_are_below_the_quantile(degrees: int):
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    steps, end = 20_000, t_quantile(degrees)
    xs = ((i + 0.5) * end / steps for i in range(steps))
    below = 0.5 + end / steps * sum(scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2) for x in xs)
    assert below == pytest.approx(0.975, abs=1e-4)


@pytest.mark.parametrize(("n", "shared"), [(2, True), (4, True), (3, False)])
def test_the_interval_covers_the_true_difference_19_times_of_20(n: int, shared: bool):
    draw, covered = random.Random(n), 0
    for _ in range(4000):
        by_seed = [draw.gauss(0, 1) for _ in range(n)]  # what a seed does to both, if it is the same
        first = {seed: by_seed[seed] + draw.gauss(0, 0.3) for seed in range(n)}
        second = {
            seed if shared else seed + n: 0.5 + (by_seed[seed] if shared else draw.gauss(0, 1)) + draw.gauss(0, 0.3)
            for seed in range(n)
        }
        found = difference(first, second)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.935 < covered / 4000 < 0.975


@given(st.dictionaries(st.integers(0, 9), st.floats(0.5, 4), min_size=1, max_size=6), st.floats(-1, 1))
def test_a_shift_of_all_seeds_is_found_exactly_and_one_seed_has_no_interval(first: dict[int, float], shift: float):
    found = difference(first, {seed: value + shift for seed, value in first.items()})
    assert found.mean == pytest.approx(shift, abs=1e-9)
    if len(first) == 1:
        assert (found.low, found.high, found.tied, half_width(list(first.values()))) == (None, None, False, None)
    else:
        assert found.low == pytest.approx(shift, abs=1e-6)
        assert found.high == pytest.approx(shift, abs=1e-6)


def test_the_interval_of_a_mean_is_the_textbook_one():
    values = [1.0, 2.0, 4.0]
    assert half_width(values) == pytest.approx(4.3027 * statistics.stdev(values) / math.sqrt(3), rel=1e-3)
