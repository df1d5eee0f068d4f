"""The line of training losses, against sums over all steps."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.look import chart_script
from talewright.look.losses import MOST, LossLine, loss_script, loss_view
from tests.export.browser import chromium


def line_of(losses: list[float], first: int = 1) -> list[tuple[int, float]]:
    line = LossLine()
    for step, loss in enumerate(losses, first):
        line.add(step, loss)
    return line.means()


@given(losses=st.lists(st.floats(0, 20), max_size=90))
def test_a_short_run_keeps_every_loss(losses):
    assert line_of(losses) == [(step, pytest.approx(loss, abs=1e-5)) for step, loss in enumerate(losses, 1)]


@given(count=st.integers(1, 6 * MOST), slope=st.floats(-1e-3, 1e-3))
def test_a_straight_line_stays_one_however_long_the_run(count, slope):
    """Means of bins do not bend a line; the last bin may be only partly filled."""
    points = line_of([5 + slope * step for step in range(1, count + 1)])
    assert len(points) <= MOST
    assert [step for step, _ in points] == sorted({step for step, _ in points})
    width = 2 ** max(0, (count - 1) // MOST).bit_length()
    for step, loss in points:
        assert loss == pytest.approx(5 + slope * step, abs=abs(slope) * width + 1e-5)


def test_a_browser_averages_noise_over_the_chosen_share_of_the_run():
    losses = [3 + (-1) ** step for step in range(MOST)]
    page = f"{loss_view()}<script>{chart_script()}{loss_script()}</script>"
    with chromium() as browser:
        tab = browser.new_page()
        tab.set_content(page)
        tab.evaluate(
            "losses => { window.show = lossView(document.querySelector('.losses')); show({training: losses}); }",
            list(enumerate(losses)),
        )

        def smoothed() -> list[float]:
            specification = json.loads(tab.get_attribute("figure.chart", "data-chart"))
            rows = specification["datasets"]["lines"]
            return [row["loss"] for row in rows if row["line"] == "training, smoothed"]

        assert smoothed()[0] == losses[0]  # no step before it
        assert smoothed()[400] == pytest.approx(sum(losses[392:409]) / 17)
        tab.fill("[data-smoothing]", "10")
        assert smoothed()[400] == pytest.approx(sum(losses[360:441]) / 81)
        tab.evaluate("show({})")
        assert tab.is_hidden(".losses")
