"""Scores of runs side by side: as text for a terminal, and as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talewright.evaluate.tables import TABLES, as_markdown, as_text, rows_of

BESIDE = {"untrained": "untrained", "real": "real stories", "held_out": "real stories"}
"""What stands in a part beside the run's own figures, and what it is called."""
Row = tuple[str, dict[str, Any]]


def side_by_side(found: Sequence[dict[str, Any]]) -> str:
    """Runs under one another, a table for each part, and under them what was scored."""
    blocks = []
    for table in TABLES:
        if rows := _rows(table.part, found):
            blocks.append(f"{table.title}\n{as_text(rows_of(table, rows))}")
    for part in dict.fromkeys(table.part for table in TABLES):
        blocks += [
            f"{part} of {row_name(scores, found)}: {scores['parts'][part]['absent']}"
            for scores in found
            if "absent" in scores["parts"].get(part, {})
        ]
    blocks += dict.fromkeys(_scored_words(scores) for scores in found)
    return "\n\n".join(blocks)


def row_name(scores: dict[str, Any], among: Sequence[dict[str, Any]]) -> str:
    """What a run is called in a table: its recipe's name, its folder where that does not tell it from the others."""
    same = sum(other["name"] == scores["name"] for other in among)
    return scores["name"] if same == 1 else scores["run"]["folder"]


def _rows(part: str, found: Sequence[dict[str, Any]]) -> list[Row]:
    """The rows of a part, before them what each run is to be set against: the floors of its likelihood, scored on its
    own tokens; real stories, as many as it told. What is the same for all runs stands there once.
    """
    beside: list[Row] = []
    runs: list[Row] = []
    several = sum(part in scores["parts"] for scores in found) > 1
    for scores in found:
        row, name = scores["parts"].get(part), row_name(scores, found)
        if row is None or "absent" in row:
            continue
        others = {words: row[key] for key, words in BESIDE.items() if key in row}
        others |= {key: value for key, value in row.get("floors", {}).items() if isinstance(value, dict)}
        for key, value in others.items():
            if (key, value) not in beside:
                own = several and any(key == other for other, _ in beside)
                beside.append((f"{name}, {key}" if own else key, value))
        runs.append((name, row))
    return beside + runs


def _scored_words(scores: dict[str, Any]) -> str:
    held_out = scores["held_out"]
    return f"scored on {held_out['stories']:,} stories, {held_out['bytes']:,} bytes: {held_out['source']}"


def leaderboard(found: Sequence[dict[str, Any]], command: str) -> str:
    """A page of Markdown: the runs, those scored on the same stories together, the best first. `command` made it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for scores in sorted(found, key=_bits_per_byte):
        groups.setdefault(scores["held_out"]["sha256"], []).append(scores)
    blocks = [
        "# Scores",
        f"Made by `{command}`. What each figure is, and how it is found: [evaluation.md](evaluation.md).",
    ]
    if len(groups) > 1:
        blocks.append("Runs scored on different stories stand apart: their figures cannot be compared.")
    for group in groups.values():
        blocks.append(f"Here {_scored_words(group[0])}.")
        if runs := [scores for scores in group if scores["run"]["checkpoint"] is not None]:  # not texts of no model
            blocks.append(as_markdown(_runs(runs)))
        for table in TABLES:
            if rows := _rows(table.part, group):
                blocks += [f"## {table.title}", as_markdown(rows_of(table, rows))]
    return "\n\n".join(blocks) + "\n"


def _bits_per_byte(scores: dict[str, Any]) -> float:
    return scores["parts"].get("likelihood", {}).get("bits_per_byte", float("inf"))


def _runs(group: Sequence[dict[str, Any]]) -> list[list[str]]:
    """What was trained, on what, for how long, and how well it knows held-out stories."""
    cells = [["run", "recipe", "parameters", "tokens", "time", "machine", "seed", "bits/byte", "95 %"]]
    for scores in group:
        run, likelihood = scores["run"], scores["parts"].get("likelihood", {})
        low, high = likelihood.get("intervals", {}).get("bits_per_byte", (None, None))
        cells.append(
            [
                f"{run['folder']}, {run['checkpoint']}",
                scores["name"],
                f"{run['parameters'] / 1e6:.2f}M",
                "" if run["tokens"] is None else f"{run['tokens'] / 1e6:.2f}M",
                "" if run["seconds"] is None else f"{run['seconds'] / 60:.1f} min",
                run["machine"] or "not noted",
                str(run["seed"]),
                "" if "bits_per_byte" not in likelihood else f"{likelihood['bits_per_byte']:.3f}",
                "" if low is None else f"{low:.3f} to {high:.3f}",
            ]
        )
    return cells
