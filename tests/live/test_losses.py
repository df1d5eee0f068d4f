"""The line of training losses, against sums over all steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.live.losses import MOST, LossLine


def line_of(losses: list[float], first: int = 1) -> list[tuple[int, float]]:
    line = LossLine()
    for step, loss in enumerate(losses, first):
        line.add(step, loss)
    return line.smoothed()


@given(losses=st.lists(st.floats(0, 20), max_size=90))
def test_a_short_run_keeps_every_loss(losses):
    assert line_of(losses) == [(step, pytest.approx(loss)) for step, loss in enumerate(losses, 1)]


@given(count=st.integers(1, 6 * MOST), slope=st.floats(-1e-3, 1e-3))
def test_a_straight_line_stays_one_however_long_the_run(count, slope):
    """Means over symmetric windows of equal bins do not bend a line; the last bin may be only partly filled."""
    points = line_of([5 + slope * step for step in range(1, count + 1)])
    assert len(points) <= MOST
    assert [step for step, _ in points] == sorted({step for step, _ in points})
    width = 2 ** max(0, (count - 1) // MOST).bit_length()
    for step, loss in points:
        assert loss == pytest.approx(5 + slope * step, abs=abs(slope) * 2 * width + 1e-9)


def test_noise_is_averaged_over_two_percent_of_the_run():
    losses = [3 + (-1) ** step for step in range(MOST)]  # one step in each bin
    points = line_of(losses)
    assert len(points) == MOST
    assert points[0][1] == losses[0]  # no step before it
    assert points[400][1] == pytest.approx(sum(losses[392:409]) / 17)
