"""Pictures of a sweep: its points side by side, and the lowest loss that is reached at each cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talewright.inspect.figures.style import BLUE, FAINT, GREY, INK, LINE, ORANGE, SERIES, Panel, save_png
from talewright.scaling.sweep.names import describe
from talewright.scaling.sweep.results import PointResult, Trial, result_of
from talewright.scaling.sweep.verdict import deviation_text

AXES = {
    "minutes": ("minutes of training", 1),
    "tokens": ("training tokens, millions", 1e6),
    "flops": ("training FLOPs", 1),
}
"""Label and unit of each cost."""
Runs = Sequence[tuple[PointResult, dict[str, float]]]
"""Complete runs: the row that each belongs to, and what it measured at its end."""
MOST_TIES = 3
"""Most points that a title names as tied with the best."""
MAX_POINTS = 40
"""Most points in points.png: the best ones."""
COLORED = [color for color, _ in SERIES].index(GREY)
"""Points that frontier.png gives a color and a name each; the others share one."""
MARKERS = "osD^vP"
WIDE_RANGE = 5.0
"""Where the largest cost is so many times the smallest, the axes of all costs are logarithmic."""


def draw_results(
    rows: Sequence[PointResult], trials: Sequence[Trial], folder: Path, base: str | None = None
) -> list[Path]:
    """Write `frontier.png` and, for several points, `points.png`. Raises UserError where they cannot be written.

    base: the name of the point that the others change, if there is one.
    """
    rows = [row for row in rows if row.n]
    complete = [trial for trial in trials if trial.state == "complete"]
    runs = [(row, result_of(trial)) for row in rows for trial in complete if trial.point == row.point]
    if not runs:
        return []
    title = _headline(rows) if len(rows) > 1 else _summary(rows[0])
    costs = [name for name in AXES if all(result.get(name) for _, result in runs)]
    costs = [name for name in costs if _ratio([result[name] for _, result in runs]) > 1.001] or costs[:1]
    logarithmic = any(_ratio([result[name] for _, result in runs]) > WIDE_RANGE for name in costs)
    panels = [
        Panel(title="", draw=_frontier(runs, rows, name, logarithmic, legend=name == costs[-1]), how="", height=4.6)
        for name in costs
    ]
    pictures = [save_png(panels, folder / "frontier.png", columns=len(costs), title=title)] if costs else []
    if len(rows) > 1:
        shown = rows[:MAX_POINTS]
        panel = Panel(title=title, draw=_points(runs, shown, base), how="", height=2.0 + 0.28 * len(shown), wide=True)
        pictures.append(save_png([panel], folder / "points.png"))
    return pictures


def frontier(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """The (cost, bits per byte) pairs that no other pair beats at less or equal cost, by rising cost.

    No pair lies below the line through them.
    """
    best: list[tuple[float, float]] = []
    for x, y in sorted(zip(xs, ys, strict=True)):
        if x > 0 and (not best or y < best[-1][1]):
            best.append((x, y))
    return best


def _ratio(values: Sequence[float]) -> float:
    return max(values) / min(values)


def _summary(row: PointResult) -> str:
    spread = "" if row.deviation is None else f", sd {deviation_text(row)}"
    return f"{describe(row.point)}, {row.mean:.4f} bits per byte (n = {row.n}{spread}), {_cost(row)}"


def _cost(row: PointResult) -> str:
    parts = [f"{row.parameters / 1e6:.2f}M parameters"] if row.parameters else []
    return ", ".join(parts + ([f"{row.minutes:.1f} minutes"] if row.minutes else []))


def _headline(rows: Sequence[PointResult]) -> str:
    """The best point, its cost, and which others are not distinguishable from it."""
    ties = [describe(row.point) for row in rows if row.tied]
    names = f"{len(ties)} others" if len(ties) > MOST_TIES else " and ".join(ties)
    tied = f"; not distinguishable from it: {names}" if ties else ""
    return f"Best of {len(rows)} points: {_summary(rows[0])}{tied}"


def _points(runs: Runs, rows: Sequence[PointResult], base: str | None) -> Callable[[Any], None]:
    """A line for each point, the best on top: each of its runs, their mean, the interval and the cost."""

    def draw(axes: Any) -> None:
        placed = [(rows.index(row), result["bits_per_byte"]) for row, result in runs if row in rows]
        axes.plot([y for _, y in placed], [x for x, _ in placed], "o", color=BLUE, markersize=5, alpha=0.6, label="run")
        axes.plot([row.mean for row in rows], range(len(rows)), "|", color=INK, markersize=12, label="mean of its runs")
        compared = [(i, row) for i, row in enumerate(rows) if row.low is not None]
        best, label = rows[0].mean or 0.0, "95 % interval of the mean, given the best one's"
        for i, row in compared:
            axes.plot([best + (row.low or 0), best + (row.high or 0)], [i, i], color=FAINT, linewidth=1, label=label)
            label = None
        named = [i for i, row in enumerate(rows) if base is not None and describe(row.point) == base]
        for i in named:
            axes.axvline(
                rows[i].mean or 0, color=ORANGE, linestyle="--", linewidth=1.2, label=f"{base}: the unchanged recipe"
            )
        names = [f"{describe(row.point)}{' (tied)' if row.tied else ''}" for row in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=True, axis="y", color=LINE, linewidth=0.5)
        axes.set_xlabel("bits per byte at the end of training")
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), [_cost(row) for row in rows])
        right.spines["right"].set_visible(False)
        right.tick_params(length=0)
        axes.figure.legend(loc="outside lower center", ncols=2)

    return draw


def _frontier(
    runs: Runs, rows: Sequence[PointResult], cost: str, logarithmic: bool, legend: bool
) -> Callable[[Any], None]:
    """The end of every run against a cost, and the lowest at each cost. Evaluations before the end are left out: their
    learning rate had not come down, so that they are worse than a run of that length would be.
    """
    label, unit = AXES[cost]

    def draw(axes: Any) -> None:
        points = [(result[cost] / unit, result["bits_per_byte"]) for _, result in runs]
        edge = frontier(*zip(*points, strict=True))
        axes.plot(*zip(*edge, strict=True), color=FAINT, linewidth=1.2, linestyle=":", label="lowest at each cost")
        for rank, row in reversed(list(enumerate(rows))):
            own = [point for point, (each, _) in zip(points, runs, strict=True) if each is row]
            color, marker = (SERIES[rank][0], MARKERS[rank]) if rank < COLORED else (GREY, "x")
            others = f"{len(rows) - COLORED} other points" if len(rows) - COLORED > 1 else describe(row.point)
            name = describe(row.point) if rank < COLORED else others if rank == COLORED else None
            look = {"linestyle": "", "markersize": 7, "alpha": 0.85}
            axes.plot(*zip(*own, strict=True), marker=marker, color=color, label=name, **look)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xlabel(f"{label} (logarithmic)" if logarithmic else label)
        _few_ticks(axes, logarithmic)
        axes.set_ylabel("bits per byte at the end of training")
        if legend:
            handles, labels = axes.get_legend_handles_labels()
            axes.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return draw


def _few_ticks(axes: Any, logarithmic: bool) -> None:
    """Few labels below; on a logarithmic axis at 1, 2 and 5 times a power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8) if logarithmic else MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
