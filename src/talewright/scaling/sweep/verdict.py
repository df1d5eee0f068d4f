"""The results of a sweep as a person reads them: a table, and which point is best, how surely and at what cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from talewright.evaluate.text_table import text_table
from talewright.scaling.sweep.names import describe
from talewright.scaling.sweep.results import PointResult

MOST_SENTENCES = 6
"""Points that the verdict compares with the best one; the table has all."""
LEGEND = """\
Columns: bits/byte: mean over seeds at the end of training; sd: standard deviation over seeds; n: complete runs; worse
by: difference to the best, with its 95 % interval (=: not distinguishable from the best); the costs are means."""


def table(rows: Sequence[PointResult], width: int | None = None) -> str:
    """The rows as text, a line for each point."""
    return text_table(cells(rows), width)


def cells(rows: Sequence[PointResult]) -> list[list[str]]:
    """The cells of the table, its titles first. Counts of failed and pruned runs are left out where there are none."""
    columns: dict[str, Callable[[PointResult], str]] = {
        "bits/byte": lambda row: "-" if row.mean is None else f"{row.mean:.4f}",
        "sd": deviation_text,
        "n": lambda row: str(row.n),
        "worse by": _worse_by,
        "failed": lambda row: str(row.failed),
        "pruned": lambda row: str(row.pruned),
        "parameters": lambda row: "-" if row.parameters is None else f"{row.parameters:,}",
        "minutes": lambda row: "-" if row.minutes is None else f"{row.minutes:.2f}",
        "tokens": lambda row: "-" if row.tokens is None else f"{row.tokens:,.0f}",
        "FLOPs": lambda row: "-" if row.flops is None else f"{row.flops:.2e}",
    }
    for name, shown in (("failed", any(row.failed for row in rows)), ("pruned", any(row.pruned for row in rows))):
        if not shown:
            del columns[name]
    lines = [[describe(row.point), *(cell(row) for cell in columns.values())] for row in rows]
    return [["point", *columns], *lines]


def verdict(rows: Sequence[PointResult]) -> list[str]:
    """A sentence on the best point, then one for each other point, as far as there are results."""
    finished = [row for row in rows if row.mean is not None]
    if not finished:
        return ["No trial is complete."]
    best, *others = finished
    lines = [f"Best: {describe(best.point)}, {best.mean:.4f} bits/byte ({_spread(best)}; {_cost(best)})."]
    if best.n < 2 and others:
        lines.append("With one seed, differences may be noise. Give two or more `seeds` to get intervals.")
    lines += [f"{describe(row.point)} {_compared(row, best)}." for row in others[:MOST_SENTENCES]]
    more = others[MOST_SENTENCES:]
    if more:
        ties = sum(row.tied for row in more)
        lines.append(f"{len(more)} more points are in the table; {ties} of them are not distinguishable from the best.")
    return lines


def deviation_text(row: PointResult) -> str:
    """The standard deviation with the digits that it is worth: one for two seeds, otherwise two."""
    return "-" if row.deviation is None else _significant(row.deviation, 1 if row.n == 2 else 2)


def _significant(value: float, digits: int) -> str:
    return f"{value:#.{digits}g}".rstrip(".")


def _worse_by(row: PointResult) -> str:
    if row.difference is None:
        return "-" if row.mean is None else "best"
    interval = "" if row.low is None else f" ({row.low:.4f} to {row.high:.4f})"
    return f"{'= ' if row.tied else ''}{row.difference:.4f}{interval}"


def _spread(row: PointResult) -> str:
    return "1 seed" if row.n == 1 else f"sd {deviation_text(row)} over {row.n} seeds"


def _cost(row: PointResult) -> str:
    return f"{row.parameters or 0:,} parameters, {row.flops or 0:.2e} FLOPs, {row.minutes or 0:.2g} minutes"


def _compared(row: PointResult, best: PointResult) -> str:
    interval = "" if row.low is None else f"95 % interval {row.low:.4f} to {row.high:.4f}"
    if row.low is None:
        text = f"has {row.difference:.4f} bits/byte more; one seed gives no interval"
    elif row.tied:
        text = f"is not distinguishable from it (difference {row.difference:.4f}, {interval})"
    else:
        text = f"is worse by {row.difference:.4f} ({interval})"
    return text + _relative_cost(row, best)


def _relative_cost(row: PointResult, best: PointResult) -> str:
    """By how much a point is larger or smaller and more or less costly than the best, if it is by more than 5 %."""
    ratios: dict[str, list[str]] = {}
    for name in ("parameters", "flops"):
        ratio = (getattr(row, name) or 0) / (getattr(best, name) or 1)
        if abs(ratio - 1) > 0.05:
            ratios.setdefault(f"{ratio:.2g}", []).append(name.replace("flops", "FLOPs"))
    parts = [f"{ratio} times the {' and '.join(names)}" for ratio, names in ratios.items()]
    return f", with {' and '.join(parts)}" if parts else ""
