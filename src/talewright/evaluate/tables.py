"""Scores of runs as tables: side by side as text for a terminal, and as a leaderboard in Markdown."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talewright.evaluate.seeds import half_width
from talewright.evaluate.text_table import text_table, wrap
from talewright.markdown import as_code, as_line

Scores = dict[str, Any]
"""A scores.json."""


@dataclass(frozen=True)
class Column:
    """A figure in a table: its heading, its path in the task's figures (keys separated by dots), and its format."""

    title: str
    path: str
    format: Callable[[float], str]
    about: str = ""
    """What the figure is, if its heading does not say it."""


class ScoreTable:
    """Some figures of a task."""

    def __init__(self, title: str, task: str, *columns: Column) -> None:
        self.title, self.task, self.columns = title, task, columns

    def with_figures(self, rows: Sequence[tuple[str, Scores]]) -> ScoreTable:
        """The table without the columns that have no figure in these rows."""
        columns = [column for column in self.columns if any(_cell(column, row) for _, row in rows)]
        return ScoreTable(self.title, self.task, *columns)

    @property
    def legend(self) -> str:
        """What the headings mean; empty if they say it themselves."""
        about = "; ".join(f"{column.title}: {column.about}" for column in self.columns if column.about)
        return about and f"Columns: {about}."

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
        Column("bits/char", "bits_per_character", number(2)),
        Column("accuracy", "token_accuracy", percent, "tokens that the model puts first"),
    ),
    ScoreTable(
        "Understanding: multiple choice",
        "understanding",
        Column("correct", "accuracy", percent),
        *INTERVAL,
        Column("facts", "kinds.facts.accuracy", percent),
        Column("reasoning", "kinds.reasoning.accuracy", percent),
        Column("context", "kinds.context.accuracy", percent),
        Column("pairs", "both_of_a_pair", percent, "both questions of a pair answered correctly"),
        Column("matched", "matched.accuracy", percent, "pairs whose two endings are likelier as they are than swapped"),
    ),
    ScoreTable(
        "Cloze questions from held-out stories",
        "cloze",
        Column("correct", "accuracy", percent),
        *INTERVAL,
        Column("names", "kinds.names.accuracy", percent),
        Column("things", "kinds.things.accuracy", percent),
        Column("pronouns", "kinds.pronouns.accuracy", percent),
    ),
    ScoreTable(
        "Quality of generated stories",
        "generation",
        Column("words", "words", number(0), "mean length"),
        Column("chars", "characters", number(0), "mean length in characters"),
        Column("finished", "finished", percent, "stories that reach their end"),
        Column("rules", "rule_errors", number(2), "errors by four exact rules per 1,000 words"),
        Column("grammar", "grammar.errors", number(2), "errors that a grammar checker finds per 1,000 words"),
        Column("names", "names_reused.share", percent, "introduced characters that are named again"),
        Column("he/she", "pronouns_agree.share", percent, "pronouns that fit the only child of a story"),
        Column("classifier", "classifier_accuracy", percent, "how well it detects generated stories (50 % is best)"),
        Column("invented", "invented.share", percent, "words that no training story has"),
    ),
    ScoreTable(
        "Memorization",
        "memorization",
        Column("longest", "longest", number(0), "words of the longest sequence copied from a training story"),
        Column("mean", "longest_mean", number(1), "the same, mean over stories"),
        Column("10-grams", "copied_10grams", percent, "those that a training story has"),
        Column("half", "half_copied", percent, "stories with at least half of their 10-grams in training stories"),
        Column("nearest", "nearest_rouge2", number(3), "mean ROUGE-2 precision against the nearest training story"),
        Column("known", "continued.training", number(3), "ROUGE-2 of greedy continuations of training stories"),
        Column("new", "continued.held_out", number(3), "the same for held-out stories"),
    ),
)
"""All tables, in the order in which they are shown."""
REFERENCES = {"untrained": "untrained", "real": "real stories", "held_out": "real stories"}
"""Keys of figures that a task has for comparison, and their names in a table."""


def side_by_side(scores: Sequence[Scores], each: bool = False, width: int | None = None) -> str:
    """A table for each task with all runs, then what they were scored on. Lines have at most `width` columns, as far as
    names permit. Seeds of the same settings share a row with their means; with `each`, their own rows follow.
    """
    blocks = []
    for table in TABLES:
        if rows := _rows(table.task, scores, each):
            table = table.with_figures(rows)
            parts = (table.title, text_table(table.cells(rows), width), table.legend and wrap(table.legend, width))
            blocks.append("\n".join(filter(None, parts)))
    names = _names(scores)
    for task in dict.fromkeys(table.task for table in TABLES):
        blocks += [
            f"{task} of {name}: {own['tasks'][task]['unavailable']}"
            for name, own in zip(names, scores, strict=True)
            if "unavailable" in own["tasks"].get(task, {})
        ]
    blocks += dict.fromkeys(wrap(own["note"], width) for own in scores if "note" in own)
    blocks += dict.fromkeys(wrap(_scored_on(own), width) for own in scores)
    return "\n\n".join(blocks)


def leaderboard(scores: Sequence[Scores], command: str, each: bool = False) -> str:
    """A Markdown page: the runs, grouped by the stories that they were scored on, the best first. `command` made it.
    Seeds of the same settings share a row with their means; with `each`, their own rows follow.
    """
    groups: dict[str, list[Scores]] = {}
    for own in scores:
        groups.setdefault(own["held_out"]["sha256"], []).append(own)
    blocks = ["# Scores", f"Made by {as_code(command)}. [evaluation.md](evaluation.md) explains each figure."]
    if len(groups) > 1:
        blocks.append("Runs that were scored on different stories are in separate sections, and cannot be compared.")
    for members in groups.values():
        group = [own for point in sorted(_points(members), key=_bits_per_byte) for own in point]
        blocks += [f"{as_line(_scored_on(group[0]))}.", group[0].get("note", "")]
        if runs := [own for own in group if own["run"]["checkpoint"] is not None]:  # not texts without a model
            blocks.append(_as_markdown(_run_cells(runs)))
        for table in TABLES:
            if rows := _rows(table.task, group, each):
                table = table.with_figures(rows)
                blocks += [f"## {table.title}", _as_markdown(table.cells(rows)), wrap(table.legend)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _rows(task: str, scores: Sequence[Scores], each: bool) -> list[tuple[str, Scores]]:
    """The figures of a task: first those for comparison, then the runs, with the means over seeds."""
    names = {id(own): name for name, own in zip(_names(scores), scores, strict=True)}
    scores = [own for own in scores if "unavailable" not in own["tasks"].get(task, {"unavailable": ""})]
    rows = _references(task, scores, names)
    for point in _points(scores):
        figures = [own["tasks"][task] for own in point]
        if len(point) > 1:
            rows += [(f"{_point_name(point)}, {len(point)} seeds", _merged(figures, statistics.fmean))]
            rows += [("  ± (95 %)", _merged(figures, half_width))]
        if len(point) == 1 or each:
            rows += [(names[id(own)], own["tasks"][task]) for own in point]
    return rows


def _references(task: str, scores: Sequence[Scores], names: Mapping[int, str]) -> list[tuple[str, Scores]]:
    """The figures for comparison: baselines, which are scored on a run's own tokens; as many real stories as it
    generated. What several runs have in common appears once; so does the untrained model of runs that share stories and
    tokenizer.
    """
    references: list[tuple[str, Scores]] = []
    untrained: set[tuple[str, str]] = set()
    for own in scores:
        figures = own["tasks"][task]
        others = {name: figures[key] for key, name in REFERENCES.items() if key in figures}
        others |= {name: value for name, value in figures.get("baselines", {}).items() if isinstance(value, dict)}
        if own.get("tokenizer") is not None:
            key = (own["held_out"]["sha256"], own["tokenizer"])
            if key in untrained:
                others.pop("untrained", None)
            untrained.add(key)
        for name, value in others.items():
            if (name, value) not in references:
                taken = any(name == other for other, _ in references)
                references.append((f"{names[id(own)]}, {name}" if taken else name, value))
    return references


def _names(scores: Sequence[Scores]) -> list[str]:
    """The runs' names: those of their folders, with a number where another folder has the same."""
    names: list[str] = []
    for own in scores:
        folder = own["run"]["folder"]
        name, number = folder, 2
        while name in names:
            name, number = f"{folder} ({number})", number + 1
        names.append(name)
    return names


def _points(scores: Sequence[Scores]) -> list[list[Scores]]:
    """The runs, those together that differ only in their seeds and were scored on the same stories."""
    points: dict[Any, list[Scores]] = {}
    for own in scores:
        settings, seed = own.get("settings"), own["run"].get("seed")
        key = (settings, own["held_out"]["sha256"])
        if settings is None or any(other["run"]["seed"] == seed for other in points.get(key, [])):
            key = id(own)
        points.setdefault(key, []).append(own)
    return list(points.values())


def _point_name(point: Sequence[Scores]) -> str:
    """What the folders' names have in common, such as "wide" of "wide-seed-0"; the first run's if it is nothing."""
    folders = [own["run"]["folder"] for own in point]
    stems = {re.sub(r"-(seed-)?\d+$", "", folder) for folder in folders}
    return stems.pop() if len(stems) == 1 else folders[0]


def _bits_per_byte(point: Sequence[Scores]) -> float:
    return statistics.fmean(own["tasks"].get("likelihood", {}).get("bits_per_byte", math.inf) for own in point)


def _merged(figures: Sequence[Any], statistic: Callable[[list[float]], float | None]) -> Scores:
    """A statistic of each figure that all have. The interval of a single run is none of several."""
    merged = {}
    for name in figures[0].keys() - {"low", "high"}:
        values = [own.get(name) for own in figures]
        if all(isinstance(value, dict) for value in values):
            merged[name] = _merged(values, statistic)
        elif all(isinstance(value, (int, float)) for value in values):
            merged[name] = statistic(values)
    return merged


def _scored_on(own: Scores) -> str:
    held_out = own["held_out"]
    stories = f"{held_out['stories']:,} {'story' if held_out['stories'] == 1 else 'stories'}"
    return f"Scored on {stories}, {held_out['bytes']:,} bytes: {held_out['source']}"


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


def _as_markdown(cells: Sequence[Sequence[str]]) -> str:
    heading, *rows = ("| " + " | ".join(map(as_line, row)) + " |" for row in cells)
    return "\n".join([heading, "|---" + "|---:" * (len(cells[0]) - 1) + "|", *rows])
