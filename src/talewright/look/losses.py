"""The losses of a run on a page that follows it: a chart with switches, and its rows, however long the run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from talewright.look.charts import chart
from talewright.look.lines import LOSS_TITLES, Line, line_chart

MOST = 800
"""Points of a line: more do not show at the width of a page."""
LABEL = "Training and validation loss against the optimizer step"


def loss_view() -> str:
    """The chart and its switches, without rows: `loss_script` fills it."""
    switches = (resources.files("talewright.look") / "losses.html").read_text(encoding="utf-8")
    return f'<div class="losses" hidden>{switches}{chart(_loss_chart(), LABEL, height=400)}</div>'


def loss_script() -> str:
    """Defines lossView(element), for an element of `loss_view` on a page with `chart_script`. It returns what shows
    losses: `training` and `validation`, pairs of step and loss, and `baselines`, objects with name and loss.
    """
    return (resources.files("talewright.look") / "losses.js").read_text(encoding="utf-8")


def _loss_chart() -> dict[str, Any]:
    lines = [
        Line(name="training", color="grey", faint=True),
        Line(name="training, smoothed", color="blue"),
        Line(name="validation", color="orange", marked=True),
    ]
    specification = line_chart(lines, "loss", LOSS_TITLES)
    level = {"x": {"value": 0}, "x2": {"value": "width"}, "color": {"value": "@grey"}}
    name = {"x": {"value": "width"}, "color": {"value": "@faint"}, "text": {"field": "name"}}
    text = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "clip": True}
    specification["datasets"]["baselines"] = []
    for mark, encoding in (({"type": "rule", "strokeDash": [5, 4], "clip": True, "aria": False}, level), (text, name)):
        specification["layer"].append({"data": {"name": "baselines"}, "mark": mark, "encoding": encoding})
    return specification


@dataclass
class _Bin:
    """Steps in a row: the sums of their numbers and of their losses."""

    steps: int
    losses: float
    count: int = 1

    def add(self, other: _Bin) -> None:
        self.steps, self.losses, self.count = (
            self.steps + other.steps,
            self.losses + other.losses,
            self.count + other.count,
        )


class LossLine:
    """The losses of a run's steps, averaged in at most MOST bins of equally many steps. Its memory does not grow."""

    def __init__(self) -> None:
        self._bins: list[_Bin] = []
        self._width = 1

    def add(self, step: int, loss: float) -> None:
        """Add the loss of a step that follows those before."""
        new = _Bin(step, loss)
        if self._bins and self._bins[-1].count < self._width:
            self._bins[-1].add(new)
            return
        if len(self._bins) == MOST:
            for left, right in zip(self._bins[::2], self._bins[1::2], strict=True):
                left.add(right)
            self._bins, self._width = self._bins[::2], 2 * self._width
        self._bins.append(new)

    def means(self) -> list[tuple[int, float]]:
        """The mean step and the mean loss of each bin."""
        return [(round(each.steps / each.count), round(each.losses / each.count, 5)) for each in self._bins]
