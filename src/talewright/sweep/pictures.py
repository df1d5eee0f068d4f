"""Pictures of a sweep: its points beside one another, and the frontier, what nothing beats at less cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talewright.inspect.figures.style import BLUE, GREY, INK, ORANGE, SERIES, Panel, save_png
from talewright.sweep.results import Curve, Row, curve_of
from talewright.sweep.running import Trial, shown

AXES: dict[str, tuple[str, Callable[[float, Any], str]]] = {
    "minutes": ("minutes of training", lambda value, _: f"{value:g}"),
    "tokens": ("training tokens, millions", lambda value, _: f"{value / 1e6:g}"),
    "flops": ("training FLOPs", lambda value, _: f"{value:.1e}"),
}
"""What a cost is called, and how it is written."""
MOST = 40
"""Points in a picture of them, the best ones of more."""
COLOURED = SERIES.index((GREY, "-"))
"""Points that the frontier's picture names; the others are grey."""


def draw_results(rows: Sequence[Row], trials: Sequence[Trial], folder: Path) -> list[Path]:
    """Write `frontier.png` and, of several points, `points.png`. Raises UserError where that cannot be done."""
    rows = [row for row in rows if row.n]
    curves = [(row, curve_of(trial.run)) for row in rows for trial in trials if _ended(trial, row)]
    if not curves:
        return []
    panels = [Panel(title="", draw=_frontier(curves, rows, name), how="", height=4.2) for name in AXES]
    title = f"Best of {len(rows)} points: {_words(rows[0])}" if len(rows) > 1 else _words(rows[0])
    pictures = [save_png(panels, folder / "frontier.png", columns=len(AXES), title=title)]
    if len(rows) > 1:
        height = 1.2 + 0.22 * min(MOST, len(rows))
        points = Panel(title=f"The best: {_words(rows[0])}", draw=_points(curves, rows[:MOST]), how="", height=height)
        pictures.append(save_png([points], folder / "points.png", columns=1))
    return pictures


def frontier(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Of points (cost, bits per byte), those that no other one beats at less or equal cost, by rising cost."""
    found: list[tuple[float, float]] = []
    for x, y in sorted(zip(xs, ys, strict=True)):
        if x > 0 and (not found or y < found[-1][1]):
            found.append((x, y))
    return found


def _ended(trial: Trial, row: Row) -> bool:
    return trial.state == "done" and trial.point == row.point


def _words(row: Row) -> str:
    spread = "" if row.deviation is None else f" ± {row.deviation:.4f}"
    return f"{shown(row.point)}, {row.mean:.4f}{spread} bits/byte (n = {row.n})"


def _points(curves: Sequence[tuple[Row, Curve]], rows: Sequence[Row]) -> Callable[[Any], None]:
    """A line for each point, the best on top: each of its runs, and their mean."""

    def draw(axes: Any) -> None:
        for row, curve in curves:
            if row in rows:
                axes.plot(curve.bits_per_byte[-1], rows.index(row), "o", color=BLUE, markersize=4, alpha=0.6)
        axes.plot([row.mean for row in rows], range(len(rows)), "|", color=INK, markersize=10)
        axes.set_yticks(range(len(rows)), [shown(row.point) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("bits per byte: each run, and their mean")

    return draw


def _frontier(curves: Sequence[tuple[Row, Curve]], rows: Sequence[Row], cost: str) -> Callable[[Any], None]:
    """Every run's evaluations, and the frontier that they make, against a cost."""

    def draw(axes: Any) -> None:
        named: set[int] = set()
        for row, curve in curves:
            place = rows.index(row)
            colour, dashes = SERIES[min(place, COLOURED)]
            words = shown(row.point) if place < COLOURED and place not in named else None
            named.add(place)
            pairs = [(x, y) for x, y in zip(getattr(curve, cost), curve.bits_per_byte, strict=True) if x > 0]
            look = {"linewidth": 1, "marker": "o", "markersize": 4, "markevery": [-1], "alpha": 0.8}
            axes.plot(*zip(*pairs, strict=True), color=colour, linestyle=dashes, label=words, **look)
        xs = [x for _, curve in curves for x in getattr(curve, cost)]
        ys = [y for _, curve in curves for y in curve.bits_per_byte]
        edge = frontier(xs, ys)
        axes.step(*zip(*edge, strict=True), where="post", color=ORANGE, linewidth=4, alpha=0.25, label="frontier")
        _write_costs(axes, cost, [x for x in xs if x > 0])
        axes.set_ylabel("bits per byte")
        axes.legend(fontsize=7.5)

    return draw


def _write_costs(axes: Any, cost: str, costs: Sequence[float]) -> None:
    """Name the axis and its ticks; it is logarithmic where the costs are far apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    words, written = AXES[cost]
    if max(costs) > 5 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(written))
    axes.set_xlabel(words)
