"""The results of a sweep: bits per byte of each point with its cost, and the spread over seeds."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.evaluate.seeds import Difference, difference
from talewright.files import write_text_atomic
from talewright.model.cost import count_parameters, training_flops
from talewright.run.evaluated import scores_first, start_of
from talewright.run.history import read_history
from talewright.scaling.sweep.names import output_of, trial_label

FIGURES = (
    "mean",
    "deviation",
    "n",
    "difference",
    "low",
    "high",
    "failed",
    "pruned",
    "parameters",
    "minutes",
    "tokens",
    "flops",
)
"""Columns of results.csv, after the settings of the point."""


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
    def label(self) -> str:
        """Such as "wide, seed 1"."""
        return trial_label(self.point, self.seed)

    @property
    def reason(self) -> str:
        """Why the trial failed: the last line that its training printed."""
        return self.attributes.get("reason") or last_line(output_of(self.run))


_OPTION = re.compile(r"(?<!\S)--(text-key|separator|format|data|valid|test|limit)(?![\w.-])")
"""Options of `train`, which a sweep has as settings."""


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
    by_seed: dict[int, float]
    """Bits per byte of each complete run, by its seed."""
    difference: float | None = None
    """How much more bits per byte than the best point; None for that point, and without a result."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the difference; None where a single seed gives none."""

    @property
    def tied(self) -> bool:
        """Whether the interval says that this point may be as good as the best one."""
        return self.difference is not None and Difference(self.difference, self.low, self.high).tied


def curve_of(run: Path) -> dict[str, list[float]]:
    """Bits per byte of a run's evaluations, and the cost up to each: minutes, tokens, flops. Those whose loss was not a
    finite number are left out.
    """
    recipe, history = load_recipe(run / "recipe.yaml"), read_history(run)
    columns = ("step", "seconds", "bits_per_byte")
    rows = [row for row in zip(*map(history.evaluations.get, columns), strict=True) if None not in row]
    evaluations = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    tokens = [history.tokens_at(step) or 0 for step in evaluations["step"]]
    flops_per_token = training_flops(recipe.model, recipe.sequence_length)
    return {
        "minutes": [seconds / 60 for seconds in evaluations["seconds"]],
        "tokens": [float(count) for count in tokens],
        "flops": [count * flops_per_token for count in tokens],
        "bits_per_byte": evaluations["bits_per_byte"],
    }


def measure(run: Path) -> dict[str, float]:
    """The last evaluation of a run, its cost and the model's size. Raises UserError if there is no finite one."""
    curve, logged = curve_of(run), read_history(run).evaluations["bits_per_byte"]
    if not curve["bits_per_byte"] or logged[-1] is None:
        raise UserError(f"{run} has no finite validation loss")
    parameters = count_parameters(load_recipe(run / "recipe.yaml").model).total
    return {"parameters": parameters, **{name: values[-1] for name, values in curve.items()}}


def result_of(trial: Trial) -> dict[str, Any]:
    """`measure` of a complete trial's run, which its attributes hold, except in a study of earlier versions."""
    return trial.attributes if "bits_per_byte" in trial.attributes else measure(trial.run)


def scored_differently(trials: Sequence[Trial]) -> bool:
    """Whether some trials were scored on the first validation stories, by an earlier version, and some on others."""
    starts = [start for trial in trials if trial.state == "complete" and (start := start_of(trial.run))]
    return len({scores_first(start) for start in starts if start["recipe"]["train"]["evaluate_stories"]}) == 2


def rows_of(trials: Sequence[Trial]) -> list[PointResult]:
    """The points, the best first, those without a result last, each compared with the best."""
    points: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        points.setdefault(tuple(trial.point.items()), []).append(trial)
    rows = [_row(dict(point), group) for point, group in points.items()]
    rows.sort(key=lambda row: math.inf if row.mean is None else row.mean)
    return [*rows[:1], *(_compared(row, rows[0]) for row in rows[1:])]


def _compared(row: PointResult, best: PointResult) -> PointResult:
    if not row.by_seed:
        return row
    how_much = difference(best.by_seed, row.by_seed)
    return replace(row, difference=how_much.mean, low=how_much.low, high=how_much.high)


def _row(point: dict[str, str], trials: Sequence[Trial]) -> PointResult:
    states = [trial.state for trial in trials]
    complete = [trial for trial in trials if trial.state == "complete"]
    results = [result_of(trial) for trial in complete]

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
        by_seed={trial.seed: result["bits_per_byte"] for trial, result in zip(complete, results, strict=True)},
    )


def write_table(rows: Sequence[PointResult], path: Path) -> None:
    """Write the rows as CSV. Raises UserError where the file cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*(rows[0].point if rows else ()), *FIGURES])
    writer.writeheader()
    for row in rows:
        writer.writerow(row.point | {name: getattr(row, name) for name in FIGURES})
    try:
        write_text_atomic(path, text.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def last_line(path: Path) -> str:
    """The last line of a training's output, which says what went wrong, with options named as a sweep's settings."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _OPTION.sub(lambda match: "data." + match[1].replace("-", "_"), last).replace("data.data", "data.source")
