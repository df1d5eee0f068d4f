"""The text of a file in chunks, blocks and lines: UTF-8, line ends as LF, without a byte-order mark."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from talewright.data.sources.compression import ByteStream
from talewright.errors import UserError

CHUNK_BYTES = 1 << 20
"""Bytes read at once."""
LONGEST_STORY = 128 << 20
"""Characters. A longer story means that the file has another separator."""


def read_text(stream: ByteStream, name: str) -> Iterator[str]:
    """The characters of a file in chunks. Raises UserError, naming the byte, if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    n_read, at_start = 0, True
    while True:
        data = stream.read(CHUNK_BYTES)
        n_read += len(data)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise UserError(_not_utf8(name, n_read - len(error.object) + error.start, error, at_start)) from None
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield newlines.decode(text, final=not data)
        if not data:
            return


def read_blocks(stream: ByteStream, name: str) -> Iterator[str]:
    """The text in blocks of whole lines; only the last one may end without LF."""
    rest: list[str] = []
    for chunk in read_text(stream, name):
        cut = chunk.rfind("\n") + 1
        if cut:
            yield "".join([*rest, chunk[:cut]])
            rest = []
        rest.append(chunk[cut:])
        if len(rest) * CHUNK_BYTES > LONGEST_STORY and sum(map(len, rest)) > LONGEST_STORY:
            millions = LONGEST_STORY >> 20
            raise UserError(f"{name} has a line of more than {millions} million characters, which is no story")
    yield "".join(rest)


def read_lines(stream: ByteStream, name: str) -> Iterator[str]:
    """Lines, each with its LF."""
    for block in read_blocks(stream, name):
        yield from io.StringIO(block, newline="\n")


def _not_utf8(name: str, offset: int, error: UnicodeDecodeError, at_start: bool) -> str:
    utf16 = at_start and error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return (
        f"{name} is not UTF-8: byte 0x{error.object[error.start]:02X} at offset {offset:,}. "
        f"Convert it, for example by: iconv -f {'utf-16' if utf16 else 'cp1252'} -t utf-8 {name} > new-file"
    )
