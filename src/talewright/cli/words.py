"""Text for a terminal: safe to show, and wrapped between words, also while it is generated."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Iterable, Iterator

from talewright.errors import visible

_held: list[str] | None = None
"""Messages that wait for the end of a text; None while none is printed."""


def show(text: object = "", end: str = "\n", flush: bool = False) -> None:
    """Print on standard output, with what a terminal would obey made visible: a file or a model may have written it."""
    print(visible(str(text)), end=end, flush=flush)


def print_pieces(pieces: Iterable[str]) -> None:
    """Print a text as its pieces come: in a terminal wrapped between words, elsewhere as it is. Messages wait until it
    ends.
    """
    global _held
    if sys.stdout.isatty():
        pieces = wrap_pieces(pieces, shutil.get_terminal_size().columns)
    _held = []
    try:
        for piece in pieces:
            show(piece, end="", flush=True)
        show(flush=True)
    finally:
        messages, _held = _held, None
        for message in messages:
            print_message(message)


def print_message(text: str) -> None:
    """Print a message on standard error: in a terminal wrapped between words, but for indented lines, such as commands
    to copy.
    """
    text = visible(text)
    if _held is not None:
        _held.append(text)
        return
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        lines = text.split("\n")
        text = "\n".join(line if line.startswith("  ") else "".join(wrap_pieces([line], width)) for line in lines)
    print(text, file=sys.stderr, flush=True)


def replace_unknown_characters() -> None:
    """Print "?" for a character that the terminal's encoding, such as cp1252, lacks. By default, Python raises, also
    with the `surrogateescape` that it chooses where the locale is C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def wrap_pieces(pieces: Iterable[str], width: int) -> Iterator[str]:
    """The pieces of a text with line breaks between words, so that only a longer word exceeds the width.

    A word comes once it is complete. Spaces at a line break, and before the text's own breaks, are left out.
    """
    column, gap, word = 0, "", ""
    for part in _parts(pieces):
        if not part.isspace():
            word += part
            continue
        if word:
            fits = not column or column + len(gap) + len(word) <= width
            yield (gap if fits else "\n") + word
            column, gap, word = (column + len(gap) if fits else 0) + len(word), "", ""
        if part == "\n":
            yield "\n"
            column, gap = 0, ""
        else:
            gap += part


def _parts(pieces: Iterable[str]) -> Iterator[str]:
    """Line breaks, other whitespace and the rest, one by one; at the end one space, which completes the last word."""
    for piece in pieces:
        yield from re.findall(r"\n|[^\S\n]+|\S+", piece)
    yield " "
