"""What came of a sweep: bits per byte of each point beside its time, tokens and FLOPs, and their spread over seeds."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.files import write_text_atomic
from talewright.model.cost import count_parameters, training_flops
from talewright.run.history import read_history
from talewright.sweep.running import Trial

COSTS = ("minutes", "tokens", "flops")


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


def write_table(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as CSV. Raises UserError where the file cannot be written."""
    written = io.StringIO()
    table_of = csv.DictWriter(written, [*(rows[0].point if rows else ()), *_columns()])
    table_of.writeheader()
    for row in rows:
        table_of.writerow(row.point | {name: value for name, value in asdict(row).items() if name != "point"})
    try:
        write_text_atomic(path, written.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _columns() -> list[str]:
    return [name for name in Row.__dataclass_fields__ if name != "point"]
