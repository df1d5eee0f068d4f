"""The results of a sweep: bits per byte of each point with its cost, and the spread over seeds."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.files import write_text_atomic
from talewright.model.cost import count_parameters, training_flops
from talewright.run.history import read_history
from talewright.scaling.sweep.reading import POINT

COLUMNS = {
    "mean": ("bits/byte", ".4f"),
    "deviation": ("sd", ".4f"),
    "n": ("n", "d"),
    "failed": ("failed", "d"),
    "pruned": ("pruned", "d"),
    "parameters": ("parameters", ",d"),
    "minutes": ("minutes", ".2f"),
    "tokens": ("tokens", ",.0f"),
    "flops": ("FLOPs", ".2e"),
}
"""Title and format of each figure in the table."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep."""

    number: int
    point: dict[str, str]
    """The settings that vary, without the seed."""
    seed: int
    run: Path
    state: str
    """Optuna's state: waiting, running (or interrupted), complete, pruned, fail."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Optuna's user attributes: the run folder, the results of a complete trial, the reason of a failed one."""

    @property
    def reason(self) -> str:
        """Why the trial failed: the last line that its training printed."""
        return self.attributes.get("reason") or last_line(self.run.with_suffix(".out"))


@dataclass(frozen=True, kw_only=True)
class PointResult:
    """A point of the sweep, over its seeds."""

    point: dict[str, str]
    parameters: int | None
    n: int
    """Complete runs; the means below are over these."""
    failed: int
    pruned: int
    mean: float | None
    """Bits per byte at the end."""
    deviation: float | None
    """Standard deviation of the bits per byte, with n - 1; None for a single run."""
    minutes: float | None
    tokens: float | None
    flops: float | None


def curve_of(run: Path) -> dict[str, list[float]]:
    """Bits per byte of a run's evaluations, and the cost up to each: minutes, tokens, flops."""
    recipe, history = load_recipe(run / "recipe.yaml"), read_history(run)
    tokens = [history.tokens_at(step) or 0 for step in history.evaluations["step"]]
    flops_per_token = training_flops(recipe.model, recipe.sequence_length)
    return {
        "minutes": [seconds / 60 for seconds in history.evaluations["seconds"]],
        "tokens": [float(count) for count in tokens],
        "flops": [count * flops_per_token for count in tokens],
        "bits_per_byte": history.evaluations["bits_per_byte"],
    }


def measure(run: Path) -> dict[str, float]:
    """The last evaluation of a run, its cost and the model's size. Raises UserError if there is no finite one."""
    curve = curve_of(run)
    if not curve["bits_per_byte"] or not math.isfinite(curve["bits_per_byte"][-1]):
        raise UserError(f"{run} has no finite validation loss")
    parameters = count_parameters(load_recipe(run / "recipe.yaml").model).total
    return {"parameters": parameters, **{name: values[-1] for name, values in curve.items()}}


def rows_of(trials: Sequence[Trial]) -> list[PointResult]:
    """The points, the best first, those without a result last."""
    points: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        points.setdefault(tuple(trial.point.items()), []).append(trial)
    rows = [_row(dict(point), group) for point, group in points.items()]
    return sorted(rows, key=lambda row: math.inf if row.mean is None else row.mean)


def _row(point: dict[str, str], trials: Sequence[Trial]) -> PointResult:
    states = [trial.state for trial in trials]
    complete = [trial for trial in trials if trial.state == "complete"]
    results: list[dict[str, Any]] = [  # a study of earlier versions has no attributes
        trial.attributes if "bits_per_byte" in trial.attributes else measure(trial.run) for trial in complete
    ]

    def mean(name: str) -> float | None:
        return statistics.fmean(result[name] for result in results) if results else None

    return PointResult(
        point=point,
        parameters=results[0]["parameters"] if results else None,
        n=len(results),
        failed=states.count("fail"),
        pruned=states.count("pruned"),
        mean=mean("bits_per_byte"),
        deviation=statistics.stdev(result["bits_per_byte"] for result in results) if len(results) > 1 else None,
        **{name: mean(name) for name in ("minutes", "tokens", "flops")},
    )


def table(rows: Sequence[PointResult]) -> str:
    """The rows as text, a line for each point."""
    names = list(rows[0].point) if rows else []
    lines = [[name.rpartition(".")[2] for name in names] + [title for title, _ in COLUMNS.values()]]
    for row in rows:
        figures = [(getattr(row, name), form) for name, (_, form) in COLUMNS.items()]
        lines.append([*row.point.values(), *("-" if value is None else format(value, form) for value, form in figures)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = ["<"] * len(names) + [">"] * len(COLUMNS)
    return "\n".join(
        "  ".join(f"{word:{align}{width}}" for word, align, width in zip(line, aligns, widths, strict=True)).rstrip()
        for line in lines
    )


def write_table(rows: Sequence[PointResult], path: Path) -> None:
    """Write the rows as CSV. Raises UserError where the file cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*(rows[0].point if rows else ()), *COLUMNS])
    writer.writeheader()
    for row in rows:
        writer.writerow(row.point | {name: getattr(row, name) for name in COLUMNS})
    try:
        write_text_atomic(path, text.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def describe(values: dict[str, str]) -> str:
    """A point in one line, by its name or by its settings without their sections."""
    words = (value if name == POINT else f"{name.rpartition('.')[2]} {value}" for name, value in values.items())
    return ", ".join(words) or "the recipe as it is"


def last_line(path: Path) -> str:
    """The last line of a training's output, which says what went wrong."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
