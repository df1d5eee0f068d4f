"""Pictures of a sweep: its points side by side, and the frontier of the lowest loss at each cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talewright.inspect.figures.style import BLUE, GREY, INK, ORANGE, SERIES, Panel, save_png
from talewright.scaling.sweep.names import describe
from talewright.scaling.sweep.results import PointResult, Trial, curve_of
from talewright.scaling.sweep.verdict import deviation_text

AXES = {
    "minutes": ("minutes of training", 1),
    "tokens": ("training tokens, millions", 1e6),
    "flops": ("training FLOPs", 1),
}
"""Label and unit of each cost."""
Curves = Sequence[tuple[PointResult, dict[str, list[float]]]]
"""Runs: the row that each belongs to, and its curve."""
MOST_TIES = 3
"""Most points that a title names as tied with the best."""
MAX_POINTS = 40
"""Most points in points.png: the best ones."""
COLORED = SERIES.index((GREY, "-"))
"""Points that the legend of frontier.png names; the others are gray."""


def draw_results(rows: Sequence[PointResult], trials: Sequence[Trial], folder: Path) -> list[Path]:
    """Write `frontier.png` and, for several points, `points.png`. Raises UserError where they cannot be written."""
    rows = [row for row in rows if row.n]
    complete = [
        trial for trial in trials if trial.state == "complete" and (trial.run / "recipe.yaml").is_file()
    ]  # here
    curves = [(row, curve_of(trial.run)) for row in rows for trial in complete if trial.point == row.point]
    if not curves:
        return []
    panels = [Panel(title="", draw=_frontier(curves, rows, name), how="", height=4.2) for name in AXES]
    title = _headline(rows) if len(rows) > 1 else _summary(rows[0])
    pictures = [save_png(panels, folder / "frontier.png", columns=len(AXES), title=title)]
    if len(rows) > 1:
        height = 1.2 + 0.22 * min(MAX_POINTS, len(rows))
        draw = _points(curves, rows[:MAX_POINTS])
        points = Panel(title=_headline(rows), draw=draw, how="", height=height)
        pictures.append(save_png([points], folder / "points.png", columns=1))
    return pictures


def frontier(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """The (cost, bits per byte) pairs that no other pair beats at less or equal cost, by rising cost."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(zip(xs, ys, strict=True)):
        if x > 0 and (not best or y < best[-1][1]):
            best.append((x, y))
    return best


def _summary(row: PointResult) -> str:
    spread = "" if row.deviation is None else f", sd {deviation_text(row)}"
    size = f"{row.parameters / 1e6:.2f}M parameters" if row.parameters else ""
    return f"{describe(row.point)}, {row.mean:.4f} bits per byte (n = {row.n}{spread}), {size}"


def _headline(rows: Sequence[PointResult]) -> str:
    """The best point, and which others are not distinguishable from it."""
    ties = [describe(row.point) for row in rows if row.tied]
    names = f"{len(ties)} others" if len(ties) > MOST_TIES else " and ".join(ties)
    tied = f"; not distinguishable from it: {names}" if ties else ""
    return f"Best of {len(rows)} points: {_summary(rows[0])}{tied}"


def _points(curves: Curves, rows: Sequence[PointResult]) -> Callable[[Any], None]:
    """A line for each point, the best on top: each of its runs, and their mean."""

    def draw(axes: Any) -> None:
        for row, curve in curves:
            if row in rows:
                axes.plot(curve["bits_per_byte"][-1], rows.index(row), "o", color=BLUE, markersize=4, alpha=0.6)
        axes.plot([row.mean for row in rows], range(len(rows)), "|", color=INK, markersize=10)
        names = [f"{describe(row.point)}{' (tied)' if row.tied else ''}" for row in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.invert_yaxis()
        axes.set_xlabel("bits per byte: each run, and their mean")

    return draw


def _frontier(curves: Curves, rows: Sequence[PointResult], cost: str) -> Callable[[Any], None]:
    """The evaluations of every run against a cost, and the frontier of their ends: before its end, a run's learning
    rate is too high for its lowest loss.
    """

    label, unit = AXES[cost]

    def draw(axes: Any) -> None:
        points: list[tuple[float, float]] = []
        ends: list[tuple[float, float]] = []
        for i, (row, curve) in enumerate(curves):
            rank = rows.index(row)
            color, dashes = SERIES[min(rank, COLORED)]
            first = rank < COLORED and row not in [each for each, _ in curves[:i]]
            run = [(x / unit, y) for x, y in zip(curve[cost], curve["bits_per_byte"], strict=True) if x > 0]
            look = {"linewidth": 1, "marker": "o", "markersize": 4, "markevery": [-1], "alpha": 0.8}
            name = describe(row.point) if first else None
            axes.plot(*zip(*run, strict=True), color=color, linestyle=dashes, label=name, **look)
            points, ends = points + run, ends + run[-1:]
        edge = zip(*frontier(*zip(*ends, strict=True)), strict=True)
        axes.step(*edge, where="post", color=ORANGE, linewidth=4, alpha=0.25, label="frontier")
        costs = [x for x, _ in points]
        axes.set_xscale("log" if max(costs) > 5 * min(costs) else "linear")
        axes.set_xlabel(label)
        axes.set_ylabel("bits per byte")
        axes.legend(fontsize=7.5)

    return draw
