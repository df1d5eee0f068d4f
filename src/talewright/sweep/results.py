"""What came of a sweep: bits per byte of each point beside its time, tokens and FLOPs, their spread over the seeds, and
a picture of the frontier.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from talewright.config import load_recipe
from talewright.data.folders import write_whole
from talewright.errors import UserError
from talewright.inspect.drawing.style import GREY, ORANGE, SERIES, Panel, save_png
from talewright.inspect.history import read_history
from talewright.model.cost import count_parameters, training_flops
from talewright.sweep.running import Trial, shown

COSTS = {"minutes": "minutes of training", "tokens": "training tokens", "flops": "training FLOPs"}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The evaluations of one run."""

    minutes: list[float]
    tokens: list[float]
    flops: list[float]
    bits_per_byte: list[float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A point of the sweep, over its seeds."""

    point: dict[str, str]
    parameters: int
    n: int
    """Runs that ended well."""
    failed: int
    mean: float | None
    """Bits per byte at the end, over these runs."""
    deviation: float | None
    """Their standard deviation, with n - 1; None of a single run."""
    minutes: float | None
    """Means over these runs."""
    tokens: float | None
    flops: float | None


def curve_of(run: Path) -> Curve:
    """What a run's log says of its evaluations, from the first step on."""
    recipe, history = load_recipe(run / "recipe.yaml"), read_history(run)
    scores = history.evaluations
    tokens = [history.tokens_at(step) or 0 for step in scores["step"]]
    per_token = training_flops(recipe.model, recipe.sequence_length)
    return Curve(
        minutes=[seconds / 60 for seconds in scores["seconds"]],
        tokens=[float(count) for count in tokens],
        flops=[count * per_token for count in tokens],
        bits_per_byte=list(scores["bits_per_byte"]),
    )


def rows_of(trials: Sequence[Trial]) -> list[Row]:
    """The points, the best first, those without a result last."""
    points: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        points.setdefault(tuple(trial.point.items()), []).append(trial)
    rows = [_row(dict(point), found) for point, found in points.items()]
    return sorted(rows, key=lambda row: math.inf if row.mean is None else row.mean)


def _row(point: dict[str, str], trials: Sequence[Trial]) -> Row:
    done = [trial for trial in trials if trial.state == "done"]
    curves = [curve_of(trial.run) for trial in done]
    ends = [curve.bits_per_byte[-1] for curve in curves]
    means = {name: statistics.fmean(getattr(curve, name)[-1] for curve in curves) if curves else None for name in COSTS}
    return Row(
        point=point,
        parameters=count_parameters(load_recipe(done[0].run / "recipe.yaml").model).total if done else 0,
        n=len(done),
        failed=sum(trial.state == "failed" for trial in trials),
        mean=statistics.fmean(ends) if ends else None,
        deviation=statistics.stdev(ends) if len(ends) > 1 else None,
        **means,
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as text, a line for each point."""
    names = list(rows[0].point) if rows else []
    titles = [*(name.rpartition(".")[2] for name in names), "bits/byte", "sd", "n", "failed"]
    titles += ["parameters", "minutes", "tokens", "FLOPs"]
    lines = [titles] + [[row.point[name] for name in names] + _figures(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if i < len(names) else word.rjust(width)
            for i, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _figures(row: Row) -> list[str]:
    return [
        "-" if row.mean is None else f"{row.mean:.4f}",
        "-" if row.deviation is None else f"{row.deviation:.4f}",
        str(row.n),
        str(row.failed),
        f"{row.parameters:,}" if row.n else "-",
        "-" if row.minutes is None else f"{row.minutes:.2f}",
        "-" if row.tokens is None else f"{row.tokens:,.0f}",
        "-" if row.flops is None else f"{row.flops:.2e}",
    ]


def write_results(rows: Sequence[Row], trials: Sequence[Trial], folder: Path) -> Path | None:
    """Write `results.csv` and, where a trial is done, `frontier.png`, whose path is returned.

    Raises UserError where the folder cannot be written.
    """
    written = io.StringIO()
    table_of = csv.DictWriter(written, [*(rows[0].point if rows else ()), *_columns()])
    table_of.writeheader()
    for row in rows:
        table_of.writerow(row.point | {name: value for name, value in asdict(row).items() if name != "point"})
    try:
        write_whole(folder / "results.csv", written.getvalue())
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from None
    done = [trial for trial in trials if trial.state == "done"]
    return _draw(done, rows, folder / "frontier.png") if done else None


def _columns() -> list[str]:
    return [name for name in Row.__dataclass_fields__ if name != "point"]


def frontier(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Of points (cost, bits per byte), those that no other one beats at less or equal cost, by rising cost."""
    found: list[tuple[float, float]] = []
    for x, y in sorted(zip(xs, ys, strict=True)):
        if x > 0 and (not found or y < found[-1][1]):
            found.append((x, y))
    return found


def _draw(done: Sequence[Trial], rows: Sequence[Row], path: Path) -> Path:
    """Every run's evaluations, and the frontier that they make, against minutes, tokens and FLOPs."""
    order = [row.point for row in rows if row.n]
    curves = [(order.index(trial.point), curve_of(trial.run)) for trial in done]
    best = rows[0]
    panels = [
        Panel(title=f"Bits per byte against {label}", draw=_drawing(curves, order, name, label), how="", height=4.2)
        for name, label in COSTS.items()
    ]
    spread = "" if best.deviation is None else f" ± {best.deviation:.4f}"
    title = f"Best of {len(order)} points: {shown(best.point)}, {best.mean:.4f}{spread} bits/byte (n = {best.n})"
    return save_png(panels, path, columns=3, title=title)


def _drawing(curves: Sequence[tuple[int, Curve]], order: Sequence[dict[str, str]], name: str, label: str) -> Any:
    def draw(axes: Any) -> None:
        named: set[int] = set()
        for place, curve in sorted(curves, key=lambda pair: pair[0]):
            xs = getattr(curve, name)
            shown_ = [(x, y) for x, y in zip(xs, curve.bits_per_byte, strict=True) if x > 0]
            colour, dashes = SERIES[place % len(SERIES)] if place < len(SERIES) - 1 else (GREY, "-")
            words = shown(order[place]) if place not in named and place < len(SERIES) - 1 else None
            named.add(place)
            axes.plot(*zip(*shown_, strict=True), color=colour, linestyle=dashes, linewidth=1, alpha=0.8, label=words)
            axes.plot(*shown_[-1], "o", color=colour, markersize=4)
        xs = [x for _, curve in curves for x in getattr(curve, name)]
        ys = [y for _, curve in curves for y in curve.bits_per_byte]
        edge = frontier(xs, ys)
        axes.step(*zip(*edge, strict=True), where="post", color=ORANGE, linewidth=4, alpha=0.25, label="frontier")
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.set_ylabel("bits per byte")
        axes.legend(fontsize=7.5)

    return draw
