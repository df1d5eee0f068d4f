"""The characters of a file in pieces, and its lines: UTF-8, line ends as LF, without a byte-order mark."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator

from talewright.data import unpack
from talewright.data.unpack import Input
from talewright.errors import UserError

LONGEST_STORY = 128 << 20
"""Characters; more is no story, but a file whose separator is another."""


def text_of(stream: Input, name: str) -> Iterator[str]:
    """The file's characters in pieces, line ends as LF, without a byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    seen, first = 0, True
    while True:
        piece = stream.read(unpack.PIECE)
        seen += len(piece)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise UserError(_not_utf8(name, seen - len(error.object) + error.start, error, first)) from None
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        yield lines.decode(text, final=not piece)
        if not piece:
            return


def _not_utf8(name: str, offset: int, error: UnicodeDecodeError, first: bool) -> str:
    byte = error.object[error.start]
    wide = first and error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    coding = "utf-16" if wide else "cp1252"
    return (
        f"{name} is not UTF-8: byte 0x{byte:02X} at offset {offset:,}. "
        f"Convert it, for example by: iconv -f {coding} -t utf-8 {name} > new-file"
    )


def lines_of(stream: Input, name: str) -> Iterator[str]:
    """Lines with their LF."""
    rest: list[str] = []
    for piece in text_of(stream, name):
        *whole, last = piece.split("\n")
        for line in whole:
            rest.append(line)
            yield "".join(rest) + "\n"
            rest.clear()
        if last:
            rest.append(last)
            _refuse_endless(name, rest)
    if rest:
        yield "".join(rest)


def _refuse_endless(name: str, pieces: list[str]) -> None:
    """Refuse a line that is longer than any story; its pieces are those that were read."""
    if len(pieces) * unpack.PIECE > LONGEST_STORY and sum(map(len, pieces)) > LONGEST_STORY:
        raise UserError(f"{name} has a line of more than {LONGEST_STORY >> 20} million characters, which is no story")


def blocks_of(pieces: Iterable[str], name: str) -> Iterator[str]:
    """The same text in pieces that end where a line does, but for the last one."""
    rest: list[str] = []
    for piece in pieces:
        cut = piece.rfind("\n") + 1
        if cut:
            rest.append(piece[:cut])
            yield "".join(rest)
            rest = []
        rest.append(piece[cut:])
        _refuse_endless(name, rest)
    yield "".join(rest)
