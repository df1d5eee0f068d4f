"""Text for a terminal: safe to show, and wrapped between words, also while it is generated."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from talewright.errors import UserError, visible
from talewright.files import error_reason

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)
"""The errors of a stream that is open and cannot be written."""
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
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a full disk: the exit code still says how it ended
        _discard(sys.stderr)


@contextmanager
def flushed_output() -> Iterator[None]:
    """Within: standard output is written to its end, and may be closed. Raises UserError if it cannot be written, as on
    a full disk.
    """
    # What the shell closed, as `>&-` does, is opened in the order of the numbers, so that each gets its own again: the
    # next file that a command opened would have it, and with it what libraries print.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8", newline="\n"))  # noqa: SIM115 - as long as the program
    try:
        try:
            yield
        finally:
            try:
                sys.stderr.flush()
            except OSError:
                _discard(sys.stderr)
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        _discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise UserError(
            f"the output cannot be written ({error_reason(error)}); make room, or send it elsewhere"
        ) from None


def _discard(stream: TextIO) -> None:
    """Throw away what a stream holds and gets: at its exit, Python would complain that it cannot be written."""
    with suppress(OSError):  # of a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
