"""Stories out of one file: .txt, .jsonl, .json, .csv or .parquet, plain, .gz or .zst, read in pieces.

No file is held in memory whole; what is held is a piece of a megabyte, or the longest story.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import Any

from talewright.config import EOT, DataConfig
from talewright.data import characters, unpack
from talewright.data.characters import blocks_of, lines_of, text_of
from talewright.data.json_items import json_items
from talewright.data.unpack import PACKINGS, Input, StoryFile, seekable, unpacked
from talewright.errors import UserError

Record = str | None
"""A story as its file has it; None where a column has no value."""


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
    with closing(unpacked(file)) as stream:
        try:
            yield from _READERS[kind](stream, file.name, config)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{file.name} is damaged or cut short ({error}); fetch or make it again") from None


def _read_txt(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    """Stories between separator lines. Blank ones are given too, but not what follows the last separator, if blank."""
    end = _story_end(config.separator)
    story: list[str] = []  # what has come of the present story, in pieces
    size = 0
    for block in blocks_of(text_of(stream, name), name):
        *ended, rest = end.split(block)
        for text in ended:
            story.append(text)
            yield "".join(story)
            story, size = [], 0
        story.append(rest)
        size += len(rest)
        if size > characters.LONGEST_STORY:
            raise UserError(
                f"{name} has no line {config.separator} in {characters.LONGEST_STORY >> 20} million characters; "
                "name the line that ends a story with --separator"
            )
    last = "".join(story)
    if last.strip():
        yield last


def _story_end(separator: str) -> re.Pattern[str]:
    """A line that holds the separator alone; the end-of-text mark, which no story has, also at the end of a line."""
    start = "" if separator.strip() == EOT else r"^[ \t]*"
    return re.compile(rf"{start}{re.escape(separator.strip())}[ \t]*(?:\n|\Z)", re.MULTILINE)


def _read_jsonl(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    for number, line in enumerate(lines_of(stream, name), 1):
        if line.strip(" \t\n\ufeff\0"):
            where = f"{name} line {number:,}"
            try:
                value = json.loads(line.strip("\ufeff"), strict=False)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON: {error}") from None
            yield _story_of(value, config.text_key, where)


def _read_json(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    for number, value in enumerate(json_items(text_of(stream, name), name), 1):
        yield _story_of(value, config.text_key, f"{name} item {number:,}")


def _read_csv(stream: Input, name: str, config: DataConfig) -> Iterator[Record]:
    import csv

    csv.field_size_limit(characters.LONGEST_STORY)
    rows = csv.reader(lines_of(stream, name))
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
    with closing(seekable(stream)) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=unpack.PIECE)
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
