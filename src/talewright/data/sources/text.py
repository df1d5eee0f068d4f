"""The text of a file in chunks, blocks and lines: UTF-8, line ends as LF, without a byte-order mark."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from talewright.data.sources.compression import ByteStream
from talewright.data.sources.encoding import Place, not_utf8, refuse_wide
from talewright.errors import UserError

CHUNK_BYTES = 1 << 20
"""Bytes read at once."""
LONGEST_STORY = 128 << 20
"""Characters. A longer story means that the file has another separator."""


def read_text(stream: ByteStream, name: str) -> Iterator[str]:
    """The characters of a file in chunks. Raises UserError, naming the place, if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    n_read, n_lines, n_characters, before = 0, 1, 0, b""
    while True:
        data = stream.read(CHUNK_BYTES)
        if not n_read:
            refuse_wide(name, data)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            known, bad = error.object[: error.start], error.object[error.start :]
            offset = n_read + len(data) - len(bad)
            good = offset - n_characters - len(known.decode("utf-8"))  # bytes after the first of each character
            place = Place(offset, n_lines + known.count(b"\n"), (before + known)[-20:], good)
            raise not_utf8(name, place, bad, stream) from None
        n_read, n_lines, n_characters = n_read + len(data), n_lines + data.count(b"\n"), n_characters + len(text)
        before = data[-20:]
        yield newlines.decode(text.removeprefix("\ufeff") if n_characters == len(text) else text, final=not data)
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
            raise UserError(f"{name} has a line of more than {millions} million characters, which is not a story")
    yield "".join(rest)


def read_lines(stream: ByteStream, name: str) -> Iterator[str]:
    """Lines, each with its LF."""
    for block in read_blocks(stream, name):
        yield from io.StringIO(block, newline="\n")
