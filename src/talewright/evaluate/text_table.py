"""Tables as text: names to the left, figures to the right, in parts that fit the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

GAP = "  "


def terminal_width() -> int | None:
    """The columns of the terminal; None where standard output goes elsewhere, which has no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def text_table(cells: Sequence[Sequence[str]], width: int | None = None) -> str:
    """The rows of cells as lines, the heading first. The first column is the name of a row.

    Where the columns do not fit into `width`, the table continues below, with the names again.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    parts: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        used = widths[0] + sum(len(GAP) + widths[j] for j in [*parts[-1], i])
        if parts[-1] and width is not None and used > width:
            parts.append([])
        parts[-1].append(i)
    return "\n\n".join("\n".join(_line(row, widths, part) for row in cells) for part in parts)


def wrap(text: str, width: int | None = None) -> str:
    """The text in lines of at most `width` columns, by default of 120, broken between words."""
    return textwrap.fill(text, width or 120, break_long_words=False, break_on_hyphens=False)


def _line(row: Sequence[str], widths: Sequence[int], part: Sequence[int]) -> str:
    return GAP.join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in part)]).rstrip()
