"""Stories out of one file: .txt, .jsonl, .json, .csv or .parquet, plain, .gz or .zst, read in pieces.

No file is held in memory whole; what is held is a piece of a megabyte, or the longest story.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from talewright.config import EOT, DataConfig
from talewright.errors import UserError

PACKINGS = (".gz", ".zst")
LONGEST_STORY = 128 << 20  # characters; more is no story, but a file whose separator is another
_PIECE = 1 << 20

Record = str | None
"""A story as its file has it; None where a column has no value."""


class Input(Protocol):
    """What is read: `read(n)` gives at most n bytes, none at the end; `seek` is asked for by Parquet alone."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class StoryFile:
    """A file of stories, on disk or on the hub."""

    name: str
    """What it is called in messages, and what its ending says of its format."""
    open: Callable[[], Input]
    """Opens its bytes."""


def format_of(name: str) -> str | None:
    """`txt`, `jsonl`, `json`, `csv` or `parquet`, by the name's ending; None for another one."""
    path = PurePosixPath(name.lower())
    if path.suffix in PACKINGS:
        path = path.with_suffix("")
    return path.suffix[1:] if path.suffix[1:] in _READERS else None


def read_records(file: StoryFile, config: DataConfig) -> Iterator[Record]:
    """The stories of a file, in order. Raises UserError, naming the file and the place, at what cannot be read."""
    kind = format_of(file.name)
    if kind is None:
        known = ", ".join(f".{name}" for name in _READERS)
        raise UserError(f"{file.name} is of no known format; {known} are read, each also as {' or '.join(PACKINGS)}")
    with closing(_unpacked(file)) as stream:
        try:
            yield from _READERS[kind](stream, file.name, config)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{file.name} is damaged or cut short ({error}); fetch or make it again") from None


# --- bytes ---------------------------------------------------------------------------------------------------------


def _unpacked(file: StoryFile) -> Input:
    packing = PurePosixPath(file.name.lower()).suffix
    if packing == ".gz":
        return cast(Input, gzip.GzipFile(fileobj=cast(BinaryIO, file.open())))
    return _Zstandard(file.open()) if packing == ".zst" else file.open()


class _Zstandard:
    """A .zst file unpacked; the library's own reader takes a file that was cut short for its end."""

    def __init__(self, packed: Input) -> None:
        try:
            import zstandard
        except ImportError:
            raise UserError('.zst files need a package more: pip install "talewright[data]"') from None
        self._zstandard, self._packed = zstandard, packed
        self._frame: Any = None
        self._ready = io.BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        while not (found := self._ready.read(size)):
            rest = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            piece = rest or self._packed.read(1 << 14)
            if not piece:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the last frame has no end")
                return b""
            if self._frame is None or self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = io.BytesIO(self._frame.decompress(piece))
            except self._zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
        return found

    def close(self) -> None:
        self._packed.close()


# --- characters ----------------------------------------------------------------------------------------------------


def _text(stream: Input, name: str) -> Iterator[str]:
    """The file's characters in pieces, line ends as LF, without a byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    seen, first = 0, True
    while True:
        piece = stream.read(_PIECE)
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


def _lines(stream: Input, name: str) -> Iterator[str]:
    """Lines with their LF."""
    rest: list[str] = []
    for piece in _text(stream, name):
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
    if len(pieces) * _PIECE > LONGEST_STORY and sum(map(len, pieces)) > LONGEST_STORY:
        raise UserError(f"{name} has a line of more than {LONGEST_STORY >> 20} million characters, which is no story")


# --- formats -------------------------------------------------------------------------------------------------------


def _read_txt(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    """Stories between separator lines. Blank ones are given too, but not what follows the last separator, if blank."""
    end = _story_end(config.separator)
    story: list[str] = []  # what has come of the present story, in pieces
    size = 0
    for block in _blocks(_text(stream, name), name):
        *ended, rest = end.split(block)
        for text in ended:
            story.append(text)
            yield "".join(story)
            story, size = [], 0
        story.append(rest)
        size += len(rest)
        if size > LONGEST_STORY:
            raise UserError(
                f"{name} has no line {config.separator} in {LONGEST_STORY >> 20} million characters; "
                "name the line that ends a story with --separator"
            )
    last = "".join(story)
    if last.strip():
        yield last


def _story_end(separator: str) -> re.Pattern[str]:
    """A line that holds the separator alone; the end-of-text mark, which no story has, also at the end of a line."""
    start = "" if separator.strip() == EOT else r"^[ \t]*"
    return re.compile(rf"{start}{re.escape(separator.strip())}[ \t]*(?:\n|\Z)", re.MULTILINE)


def _blocks(pieces: Iterable[str], name: str) -> Iterator[str]:
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


def _read_jsonl(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    for number, line in enumerate(_lines(stream, name), 1):
        if line.strip(" \t\n\ufeff\0"):
            where = f"{name} line {number:,}"
            try:
                value = json.loads(line.strip("\ufeff"), strict=False)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON: {error}") from None
            yield _story_of(value, config.text_key, where)


def _read_json(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    for number, value in enumerate(_json_items(_JsonText(_text(stream, name), name)), 1):
        yield _story_of(value, config.text_key, f"{name} item {number:,}")


def _read_csv(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    import csv

    csv.field_size_limit(LONGEST_STORY)
    rows = csv.reader(_lines(stream, name))
    try:
        header = next(rows, None)
        if header is None:
            return
        column = column_number(header, config.text_key, f"{name} line 1")
        for row in rows:
            if row:
                yield row[column] if column < len(row) else None
    except csv.Error as error:
        raise UserError(f"{name} line {rows.line_num:,} is not CSV: {error}") from None


def _read_parquet(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError('.parquet files need a package more: pip install "talewright[data]"') from None
    with closing(_seekable(stream)) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=_PIECE)
            key = config.text_key
            column_number(table.schema_arrow.names, key, name)
            _refuse_column(pa, table.schema_arrow.field(key).type, key, name)
            for batch in table.iter_batches(batch_size=256, columns=[key]):
                yield from batch.column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # the disk's, or the network's
            raise UserError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from None
        except UnicodeDecodeError as error:
            raise UserError(f'{name} column "{config.text_key}" holds text that is not UTF-8: {error}') from None


def _seekable(stream: Input) -> Any:
    """Parquet is read from its end: what cannot seek is unpacked into a file that goes when it is closed."""
    if isinstance(stream, (gzip.GzipFile, _Zstandard)):
        whole = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        while piece := stream.read(_PIECE):
            whole.write(piece)
        whole.seek(0)
        return whole
    return stream


def _refuse_column(pa: Any, kind: Any, key: str, name: str) -> None:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = ("is_string", "is_large_string", "is_string_view", "is_null")
    if not any(getattr(pa.types, test)(kind) for test in tests):
        raise UserError(f'{name} column "{key}" holds {kind}, not text; name the right one with --text-key')


_READERS: dict[str, Callable[[Input, str, DataConfig], Iterator[Record]]] = {
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


# --- values --------------------------------------------------------------------------------------------------------


def column_number(names: list[str], key: str, where: str) -> int:
    """Which of the columns is the one of that name. Raises UserError with the names that there are."""
    if key not in names:
        raise UserError(no_such_key(names, key, where))
    return names.index(key)


def no_such_key(names: Iterable[str], key: str, where: str) -> str:
    """The message for a key or column that is not there."""
    found = list(names)
    listed = ", ".join(f'"{name}"' for name in found[:10]) + (" ..." if len(found) > 10 else "")
    return f'{where} has no "{key}"; it has {listed or "nothing"}. Name the right one with --text-key'


def _story_of(value: Any, key: str, where: str) -> Record:
    """The story of a JSON value: a text, or an object that has one under the key."""
    if isinstance(value, dict):
        if key not in value:
            raise UserError(no_such_key(value, key, where))
        value, where = value[key], f'{where} "{key}"'
    if value is None or isinstance(value, str):
        return value
    raise UserError(f"{where} holds {_kind(value)}, not text; name the right key with --text-key")


def _kind(value: Any) -> str:
    return {bool: "true or false", list: "a list", dict: "an object"}.get(type(value), "a number")


class _JsonText:
    """JSON text that is parsed while it comes, one value after another."""

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self.name = name
        self._pieces, self._text, self._at, self._ended = pieces, "", 0, False
        self._parse = json.JSONDecoder(strict=False).raw_decode

    def next_sign(self) -> str:
        """The next character that is not blank, left where it is; none at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\n\r\ufeff":
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, sign: str) -> bool:
        """Pass over the next character if it is this one."""
        found = self.next_sign() == sign
        self._at += found
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.next_sign()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._more():
                    raise self.error(error.msg) from None
            except RecursionError:
                raise self.error("it is nested too deep") from None
            except ValueError:  # Python reads no integer of more than 4,300 digits
                raise self.error("a number has thousands of digits") from None
            else:
                if end < len(self._text) or not self._more():  # else a number may go on
                    self._at = end
                    return value

    def error(self, why: str) -> UserError:
        near = self._text[self._at : self._at + 40]
        return UserError(f"{self.name} is not JSON as it should be: {why}, near {near!r}")

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the text may only have been cut short, within a string, a word or an escape."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 12

    def _more(self) -> bool:
        """Read as much again as is left, at least a piece: so a long value is not parsed over and over."""
        rest = self._text[self._at :]
        if len(rest) > LONGEST_STORY:
            raise self.error(f"a value is longer than {LONGEST_STORY >> 20} million characters")
        pieces, wanted = [rest], max(len(rest), 1)
        while wanted > 0 and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            pieces.append(piece or "")
            wanted -= len(piece or "")
        self._text, self._at = "".join(pieces), 0
        return len(self._text) > len(rest)


def _json_items(text: _JsonText) -> Iterator[Any]:
    """The items of a list, or of the one list that an object holds."""
    if text.next_sign() == "":
        return
    if text.take("["):
        yield from _list_items(text)
    elif text.take("{"):
        yield from _items_in_object(text)
    else:
        raise text.error("it holds neither a list nor an object")
    if text.next_sign():
        raise text.error("it goes on after its end; one JSON value a line is called .jsonl")


def _list_items(text: _JsonText) -> Iterator[Any]:
    if text.take("]"):
        return
    while True:
        yield text.value()
        if text.take("]"):
            return
        if not text.take(","):
            raise text.error("a list has neither , nor ]")


def _items_in_object(text: _JsonText) -> Iterator[Any]:
    lists = 0
    while not text.take("}"):
        text.value()  # the key
        if not text.take(":"):
            raise text.error("a key has no :")
        if text.take("["):
            lists += 1
            yield from _list_items(text)
        else:
            text.value()
        if not text.take(",") and text.next_sign() != "}":
            raise text.error("an object has neither , nor }")
    if lists != 1:
        raise text.error(f"its object holds {lists} lists; one list of stories is read")
