"""Scores as tables: which figures stand in them, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A figure of a table: its heading, where it stands in its part (with dots between keys), and how it is written."""

    title: str
    path: str
    write: Callable[[float], str]


class Table:
    """Some figures of a part."""

    def __init__(self, title: str, part: str, *columns: Column) -> None:
        self.title, self.part, self.columns = title, part, columns


def number(digits: int) -> Callable[[float], str]:
    """With so many digits after the point."""
    return lambda value: f"{value:,.{digits}f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def short(value: float) -> str:
    """Perplexities: two digits after the point, none from 1,000 on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


INTERVAL = (Column("95 % from", "low", percent), Column("to", "high", percent))
TABLES = (
    Table(
        "How likely held-out stories are",
        "likelihood",
        Column("loss", "loss", number(3)),
        Column("perplexity", "perplexity", short),
        Column("bits/byte", "bits_per_byte", number(3)),
        Column("bits/word", "bits_per_word", number(2)),
        Column("accuracy", "token_accuracy", percent),
    ),
    Table(
        "What is understood",
        "understanding",
        Column("understanding", "accuracy", percent),
        *INTERVAL,
        Column("facts", "kinds.facts.accuracy", percent),
        Column("reasoning", "kinds.reasoning.accuracy", percent),
        Column("context", "kinds.context.accuracy", percent),
        Column("both of a pair", "both_of_a_pair", percent),
        Column("matched", "matched.accuracy", percent),
    ),
    Table(
        "Gaps in held-out stories",
        "cloze",
        Column("cloze", "accuracy", percent),
        *INTERVAL,
        Column("names", "kinds.names.accuracy", percent),
        Column("things", "kinds.things.accuracy", percent),
        Column("pronouns", "kinds.pronouns.accuracy", percent),
    ),
    Table(
        "Stories told, and how well",
        "told",
        Column("finished", "finished", percent),
        Column("rules/1,000", "rule_faults", number(2)),
        Column("grammar/1,000", "grammar.faults", number(2)),
        Column("names", "names_kept.share", percent),
        Column("he or she", "pronouns_agree.share", percent),
        Column("told apart", "told_apart", percent),
    ),
    Table(
        "Their manner, beside that of real stories",
        "told",
        Column("words", "words", number(0)),
        Column("lengths", "lengths_agree", percent),
        Column("speech", "speech_agrees", percent),
        Column("quotes", "quotes_closed.share", percent),
        Column("4-grams again", "repeated_4grams", percent),
        Column("loops", "loops", percent),
        Column("distinct-2", "distinct_2", number(3)),
        Column("self-BLEU", "self_bleu", number(3)),
        Column("invented", "invented.share", percent),
    ),
    Table(
        "What was copied",
        "copying",
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


def rows_of(table: Table, rows: Sequence[tuple[str, dict[str, Any]]]) -> list[list[str]]:
    """A table, its heading first: of each row its name and its part's figures, an empty cell where there is none."""
    cells = [["", *(column.title for column in table.columns)]]
    for name, figures in rows:
        cells.append([name, *(_cell(column, figures) for column in table.columns)])
    return cells


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Cells in columns: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        figures = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *figures]).rstrip())
    return "\n".join(lines)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a table of Markdown."""
    head, *rest = ("| " + " | ".join(row) + " |" for row in cells)
    return "\n".join([head, "|---" + "|---:" * (len(cells[0]) - 1) + "|", *rest])


def _cell(column: Column, figures: dict[str, Any]) -> str:
    value: Any = figures
    for key in column.path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else column.write(value)
