"""Names and stories in Markdown: whatever they hold is shown as it is, and is no markup or HTML."""

from __future__ import annotations

import re

_INSIDE = re.compile(r"[\\`*<>|\[\]$&~]|(?<!\w)_|_(?!\w)")
"""What Markdown reads as markup within a line. An underscore inside a word is none."""
_AT_START = re.compile(r"^( {0,3})([#+=-]|\d+(?=[.)]))", re.MULTILINE)
"""What it reads as markup where a line begins: headings, lists, rules."""


def as_text(text: str) -> str:
    """The text as Markdown that shows it, its lines as they are."""
    return _AT_START.sub(_escaped_start, _INSIDE.sub(r"\\\g<0>", text))


def as_line(text: str) -> str:
    """The text as Markdown that shows it in one line, as in a heading or a cell of a table."""
    return _INSIDE.sub(r"\\\g<0>", " ".join(text.split()))


def as_code(text: str) -> str:
    """The text as code within a line."""
    text = " ".join(text.split())
    fence = _fence(text, 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def as_block(text: str, language: str = "") -> str:
    """The text as a block of code."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _escaped_start(match: re.Match[str]) -> str:
    sign = match[2]
    return match[1] + (f"&#{ord(sign[0])};{sign[1:]}" if sign.isdigit() else f"\\{sign}")


def _fence(text: str, shortest: int) -> str:
    """More backticks than the text has in a row."""
    return "`" * max(shortest, 1 + max(map(len, re.findall("`+", text)), default=0))
