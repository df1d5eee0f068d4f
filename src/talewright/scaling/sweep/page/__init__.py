"""The page of a sweep: one file that works offline, beside results.csv."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from talewright.errors import UserError, visible
from talewright.files import error_reason, write_text_atomic
from talewright.look import chart, chart_script, page_style
from talewright.run.history import read_history
from talewright.scaling.sweep.names import describe, output_of
from talewright.scaling.sweep.page.charts import (
    COSTS,
    cost_rows,
    curves_chart,
    dividing_cost,
    frontier_chart,
    points_chart,
)
from talewright.scaling.sweep.page.parallel import dimensions, parallel_chart
from talewright.scaling.sweep.reading import Sweep
from talewright.scaling.sweep.results import PointResult, Trial
from talewright.scaling.sweep.verdict import LEGEND, cells, verdict

PAGE = "report.html"
MOST_SENTENCES = 4
"""Sentences of the verdict; the table has the rest."""
LONGEST_STORY = 3000
"""Characters of the best run's story."""


def write_page(sweep: Sweep, rows: Sequence[PointResult], trials: Sequence[Trial], folder: Path) -> Path:
    """Write `report.html` into the sweep's folder. Raises UserError where it cannot be written."""
    path = folder / PAGE
    try:
        write_text_atomic(path, render(sweep, rows, trials, folder.resolve().name))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error_reason(error)}") from None
    return path


def render(sweep: Sweep, rows: Sequence[PointResult], trials: Sequence[Trial], name: str) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("talewright.scaling.sweep", "page"), autoescape=True)
    files = resources.files("talewright.scaling.sweep") / "page"
    curves = cost_rows(rows, trials)
    sentences = [visible(sentence) for sentence in verdict(rows)[:MOST_SENTENCES]]
    table = [[visible(cell) for cell in row] for row in cells(rows)]
    return environment.get_template("page.html.j2").render(
        name=name,
        recipe=sweep.recipe,
        sentences=sentences,
        tiles=_tiles(rows, trials),
        table=table,
        legend=" ".join(LEGEND.split()),
        costs=COSTS,
        dividing=dividing_cost(curves),
        charts=_charts(sweep, rows, curves),
        dimensions=len(dimensions(sweep, rows)),
        story=_best_story(rows, trials),
        failures=_failures(trials),
        style=page_style() + (files / "style.css").read_text(encoding="utf-8"),
        library=chart_script(),
        script=(files / "script.js").read_text(encoding="utf-8"),
    )


def _charts(sweep: Sweep, rows: Sequence[PointResult], curves: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The figures that there are values for, as HTML."""
    finished = [row for row in rows if row.mean is not None]
    charts: dict[str, str] = {}
    if curves:
        charts["curves"] = chart(
            curves_chart(curves, COSTS[0]), "Bits per byte of every run against its cost", height=380
        )
    if any(row["last"] for row in curves):
        label = "The runs at their ends, and the lowest bits per byte at each cost"
        charts["frontier"] = chart(frontier_chart(curves, dividing_cost(curves)), label, height=300)
    if len(finished) > 1:
        specification, height = points_chart(finished)
        charts["points"] = chart(specification, "Bits per byte of each run, and the mean of each point", height=height)
        if settings := dimensions(sweep, finished):
            label = "A line for each point through its settings, to its bits per byte"
            charts["parallel"] = chart(parallel_chart(settings, finished), label, height=360)
    return charts


def _tiles(rows: Sequence[PointResult], trials: Sequence[Trial]) -> dict[str, str]:
    counts = {
        name: sum(trial.state == state for trial in trials)
        for name, state in (("Failed runs", "fail"), ("Pruned runs", "pruned"), ("Runs without a result", "running"))
    }
    minutes = sum(trial.attributes.get("minutes", 0) for trial in trials)
    best = rows[0].mean if rows else None
    return {
        "Lowest bits per byte": "-" if best is None else f"{best:.4f}",
        "Points": f"{len(rows):,}",
        "Complete runs": f"{sum(row.n for row in rows):,}",
        **{name: f"{count:,}" for name, count in counts.items() if count},
        "Minutes of training": f"{minutes:,.1f}",
    }


def _best_story(rows: Sequence[PointResult], trials: Sequence[Trial]) -> dict[str, str] | None:
    """The newest sample of the best point's best run, if it is here."""
    best = rows[0] if rows and rows[0].by_seed else None
    if best is None:
        return None
    seed = min(best.by_seed, key=lambda each: best.by_seed[each])
    run = next(trial.run for trial in trials if trial.point == best.point and trial.seed == seed)
    samples = read_history(run).samples
    if not samples:
        return None
    prompt, text = str(samples[-1].get("prompt", "")), str(samples[-1].get("text", ""))
    rest = re.sub(r"\s*\n\s*", "\n", text.removeprefix(prompt))
    shown = rest[:LONGEST_STORY] + (" ..." if len(rest) > LONGEST_STORY else "")
    return {
        "by": f"{describe(best.point)}, seed {seed}, at step {samples[-1].get('step')}",
        "run": f"runs/{run.name}",
        "prompt": visible(prompt) if text.startswith(prompt) else "",
        "text": visible(shown),
    }


def _failures(trials: Sequence[Trial]) -> list[dict[str, str]]:
    return [
        {
            "name": visible(trial.label),
            "reason": visible(trial.reason or "reason unknown"),
            "output": f"runs/{output_of(trial.run).name}",
        }
        for trial in trials
        if trial.state == "fail"
    ]
