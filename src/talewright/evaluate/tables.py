"""Scores of runs as tables: side by side as text for a terminal, and as a leaderboard in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Scores = dict[str, Any]
"""A scores.json."""


@dataclass(frozen=True)
class Column:
    """A figure in a table: its heading, its path in the task's figures (keys separated by dots), and its format."""

    title: str
    path: str
    format: Callable[[float], str]


class ScoreTable:
    """Some figures of a task."""

    def __init__(self, title: str, task: str, *columns: Column) -> None:
        self.title, self.task, self.columns = title, task, columns

    def cells(self, rows: Sequence[tuple[str, Scores]]) -> list[list[str]]:
        """The heading and the rows, each a name and a task's figures; a cell is empty if its figure is missing."""
        heading = ["", *(column.title for column in self.columns)]
        return [heading, *([name, *(_cell(column, row) for column in self.columns)] for name, row in rows)]


def number(digits: int) -> Callable[[float], str]:
    """With N digits after the decimal point."""
    return lambda value: f"{value:,.{digits}f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def perplexity(value: float) -> str:
    """With two digits after the decimal point, none from 1,000 on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


INTERVAL = (Column("95 % from", "low", percent), Column("to", "high", percent))
TABLES = (
    ScoreTable(
        "Likelihood of held-out stories",
        "likelihood",
        Column("loss", "loss", number(3)),
        Column("perplexity", "perplexity", perplexity),
        Column("bits/byte", "bits_per_byte", number(3)),
        Column("bits/word", "bits_per_word", number(2)),
        Column("accuracy", "token_accuracy", percent),
    ),
    ScoreTable(
        "Understanding: multiple choice",
        "understanding",
        Column("understanding", "accuracy", percent),
        *INTERVAL,
        Column("facts", "kinds.facts.accuracy", percent),
        Column("reasoning", "kinds.reasoning.accuracy", percent),
        Column("context", "kinds.context.accuracy", percent),
        Column("both of a pair", "both_of_a_pair", percent),
        Column("matched", "matched.accuracy", percent),
    ),
    ScoreTable(
        "Cloze questions from held-out stories",
        "cloze",
        Column("cloze", "accuracy", percent),
        *INTERVAL,
        Column("names", "kinds.names.accuracy", percent),
        Column("things", "kinds.things.accuracy", percent),
        Column("pronouns", "kinds.pronouns.accuracy", percent),
    ),
    ScoreTable(
        "Quality of generated stories",
        "generation",
        Column("words", "words", number(0)),
        Column("finished", "finished", percent),
        Column("rules/1,000", "rule_errors", number(2)),
        Column("grammar/1,000", "grammar.errors", number(2)),
        Column("names", "names_reused.share", percent),
        Column("he or she", "pronouns_agree.share", percent),
        Column("classifier", "classifier_accuracy", percent),
        Column("invented", "invented.share", percent),
    ),
    ScoreTable(
        "Memorization",
        "memorization",
        Column("longest", "longest", number(0)),
        Column("mean longest", "longest_mean", number(1)),
        Column("10-grams", "copied_10grams", percent),
        Column("half copied", "half_copied", percent),
        Column("nearest", "nearest_rouge2", number(3)),
        Column("continued, known", "continued.training", number(3)),
        Column("continued, new", "continued.held_out", number(3)),
    ),
)
"""All tables, in the order in which they are shown."""
REFERENCES = {"untrained": "untrained", "real": "real stories", "held_out": "real stories"}
"""Keys of figures that a task has for comparison, and their names in a table."""


def side_by_side(scores: Sequence[Scores]) -> str:
    """A table for each task with all runs, then what they were scored on."""
    blocks = []
    for table in TABLES:
        if rows := _rows(table.task, scores):
            blocks.append(f"{table.title}\n{_as_text(table.cells(rows))}")
    for task in dict.fromkeys(table.task for table in TABLES):
        blocks += [
            f"{task} of {_run_name(own, scores)}: {own['tasks'][task]['unavailable']}"
            for own in scores
            if "unavailable" in own["tasks"].get(task, {})
        ]
    blocks += dict.fromkeys(_scored_on(own) for own in scores)
    return "\n\n".join(blocks)


def leaderboard(scores: Sequence[Scores], command: str) -> str:
    """A Markdown page: the runs, grouped by the stories that they were scored on, the best first. `command` made it."""
    groups: dict[str, list[Scores]] = {}
    for own in sorted(scores, key=lambda own: own["tasks"].get("likelihood", {}).get("bits_per_byte", float("inf"))):
        groups.setdefault(own["held_out"]["sha256"], []).append(own)
    blocks = ["# Scores", f"Made by `{command}`. [evaluation.md](evaluation.md) explains each figure."]
    if len(groups) > 1:
        blocks.append("Runs that were scored on different stories are in separate sections, and cannot be compared.")
    for group in groups.values():
        blocks.append(f"{_scored_on(group[0])}.")
        if runs := [own for own in group if own["run"]["checkpoint"] is not None]:  # not texts without a model
            blocks.append(_as_markdown(_run_cells(runs)))
        for table in TABLES:
            if rows := _rows(table.task, group):
                blocks += [f"## {table.title}", _as_markdown(table.cells(rows))]
    return "\n\n".join(blocks) + "\n"


def _rows(task: str, scores: Sequence[Scores]) -> list[tuple[str, Scores]]:
    """The figures of a task: first those for comparison (baselines, which are scored on a run's own tokens; as many
    real stories as it generated), then the runs. What several runs have in common appears once.
    """
    references: list[tuple[str, Scores]] = []
    runs: list[tuple[str, Scores]] = []
    several = sum(task in own["tasks"] for own in scores) > 1
    for own in scores:
        figures, run = own["tasks"].get(task), _run_name(own, scores)
        if figures is None or "unavailable" in figures:
            continue
        others = {name: figures[key] for key, name in REFERENCES.items() if key in figures}
        others |= {name: value for name, value in figures.get("baselines", {}).items() if isinstance(value, dict)}
        for name, value in others.items():
            if (name, value) not in references:
                taken = several and any(name == other for other, _ in references)
                references.append((f"{run}, {name}" if taken else name, value))
        runs.append((run, figures))
    return references + runs


def _run_name(own: Scores, scores: Sequence[Scores]) -> str:
    """The name of a run's recipe, or that of its folder if other runs share the recipe."""
    same = sum(other["name"] == own["name"] for other in scores)
    return own["name"] if same == 1 else own["run"]["folder"]


def _scored_on(own: Scores) -> str:
    held_out = own["held_out"]
    return f"Scored on {held_out['stories']:,} stories, {held_out['bytes']:,} bytes: {held_out['source']}"


def _run_cells(group: Sequence[Scores]) -> list[list[str]]:
    """What was trained, on what machine, for how long, and the resulting bits per byte."""
    cells = [["run", "recipe", "parameters", "tokens", "time", "machine", "seed", "bits/byte", "95 %"]]
    for own in group:
        run, likelihood = own["run"], own["tasks"].get("likelihood", {})
        low, high = likelihood.get("intervals", {}).get("bits_per_byte", (None, None))
        cells.append(
            [
                f"{run['folder']}, {run['checkpoint']}",
                own["name"],
                f"{run['parameters'] / 1e6:.2f}M",
                "" if run["tokens"] is None else f"{run['tokens'] / 1e6:.2f}M",
                "" if run["seconds"] is None else f"{run['seconds'] / 60:.1f} min",
                run["machine"] or "unknown",
                str(run["seed"]),
                "" if "bits_per_byte" not in likelihood else f"{likelihood['bits_per_byte']:.3f}",
                "" if low is None else f"{low:.3f} to {high:.3f}",
            ]
        )
    return cells


def _cell(column: Column, figures: Scores) -> str:
    value: Any = figures
    for key in column.path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else column.format(value)


def _as_text(cells: Sequence[Sequence[str]]) -> str:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *rest in cells:
        figures = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *figures]).rstrip())
    return "\n".join(lines)


def _as_markdown(cells: Sequence[Sequence[str]]) -> str:
    heading, *rows = ("| " + " | ".join(row) + " |" for row in cells)
    return "\n".join([heading, "|---" + "|---:" * (len(cells[0]) - 1) + "|", *rows])
