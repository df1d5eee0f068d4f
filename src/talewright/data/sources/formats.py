"""Readers of story files: .txt, .jsonl, .json, .csv and .parquet, each also as .gz or .zst.

Files are read in chunks: memory holds one chunk or the longest story, never a whole file.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import Any

from talewright.config import EOT, DataConfig
from talewright.data.sources import text
from talewright.data.sources.compression import COMPRESSED, ByteStream, decompress
from talewright.data.sources.json_items import json_items
from talewright.data.sources.text import read_blocks, read_lines, read_text
from talewright.errors import UserError


def format_of(name: str) -> str | None:
    """`txt`, `jsonl`, `json`, `csv` or `parquet`, from the ending of the name; None for any other ending."""
    path = PurePosixPath(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix[1:] if path.suffix[1:] in _READERS else None


def read_records(name: str, open_file: Callable[[], ByteStream], config: DataConfig) -> Iterator[str]:
    """The stories of a file, in order, as they are; "" for a missing value. The ending of `name` tells the format.

    Raises UserError, naming the file and the place, if it cannot be read.
    """
    kind = format_of(name)
    if kind is None:
        known = ", ".join(f".{name}" for name in _READERS)
        raise UserError(f"{name} has an unknown format; {known} are read, each also as {' or '.join(COMPRESSED)}")
    with closing(decompress(open_file(), name)) as stream:
        try:
            yield from _READERS[kind](stream, name, config)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{name} is damaged or cut short ({error}); download or make it again") from None


def _read_txt(stream: ByteStream, name: str, config: DataConfig) -> Iterator[str]:
    """Stories between separator lines, blank ones too; what follows the last separator only if it is not blank."""
    separator = _separator_pattern(config.separator)
    story: list[str] = []  # the pieces read so far
    size = 0
    for block in read_blocks(stream, name):
        *ended, rest = separator.split(block)
        for end in ended:
            story.append(end)
            yield "".join(story)
            story, size = [], 0
        story.append(rest)
        size += len(rest)
        if size > text.LONGEST_STORY:
            raise UserError(
                f"{name} has no line {config.separator} in {text.LONGEST_STORY >> 20} million characters; "
                "name the line that ends a story with --separator"
            )
    last = "".join(story)
    if last.strip():
        yield last


def _separator_pattern(separator: str) -> re.Pattern[str]:
    """A line that holds only the separator; the end-of-text mark, which is in no story, also at the end of a line."""
    start = "" if separator.strip() == EOT else r"^[ \t]*"
    return re.compile(rf"{start}{re.escape(separator.strip())}[ \t]*(?:\n|\Z)", re.MULTILINE)


def _read_jsonl(stream: ByteStream, name: str, config: DataConfig) -> Iterator[str]:
    for number, line in enumerate(read_lines(stream, name), 1):
        if line.strip(" \t\n\ufeff\0"):
            where = f"{name} line {number:,}"
            try:
                value = json.loads(line.strip("\ufeff"), strict=False)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON: {error}") from None
            yield _story_of(value, config.text_key, where)


def _read_json(stream: ByteStream, name: str, config: DataConfig) -> Iterator[str]:
    for number, value in enumerate(json_items(read_text(stream, name), name), 1):
        yield _story_of(value, config.text_key, f"{name} item {number:,}")


def _read_csv(stream: ByteStream, name: str, config: DataConfig) -> Iterator[str]:
    import csv

    csv.field_size_limit(text.LONGEST_STORY)
    rows = csv.reader(read_lines(stream, name))
    try:
        header = next(rows, None)
        if header is None:
            return
        _require_key(header, config.text_key, f"{name} line 1")
        column = header.index(config.text_key)
        for row in rows:
            if row:
                yield row[column] if column < len(row) else ""
    except csv.Error as error:
        raise UserError(f"{name} line {rows.line_num:,} is not CSV: {error}") from None


def _read_parquet(stream: ByteStream, name: str, config: DataConfig) -> Iterator[str]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError('.parquet files need another package: pip install "talewright[data]"') from None
    key = config.text_key
    with closing(_seekable(stream, name)) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=text.CHUNK_BYTES)
            _require_key(table.schema_arrow.names, key, name)
            kind = table.schema_arrow.field(key).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not any(getattr(pa.types, f"is_{t}")(kind) for t in ("string", "large_string", "string_view", "null")):
                raise UserError(f'{name} column "{key}" holds {kind}, not text; name the right one with --text-key')
            for batch in table.iter_batches(batch_size=256, columns=[key]):
                yield from (story or "" for story in batch.column(0).to_pylist())
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # an error of the disk or the network
            raise UserError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from None
        except UnicodeDecodeError as error:
            raise UserError(f'{name} column "{key}" holds text that is not UTF-8: {error}') from None


def _seekable(stream: ByteStream, name: str) -> Any:
    """Parquet is read from its end, so compressed files are decompressed into a temporary file."""
    if not name.lower().endswith(COMPRESSED):
        return stream
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while data := stream.read(text.CHUNK_BYTES):
        file.write(data)
    file.seek(0)
    return file


_READERS: dict[str, Callable[[ByteStream, str, DataConfig], Iterator[str]]] = {
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


def _require_key(names: Iterable[str], key: str, where: str) -> None:
    if key not in names:
        raise UserError(no_such_key(names, key, where))


def no_such_key(names: Iterable[str], key: str, where: str) -> str:
    """The message for a missing key or column; it lists the ones that exist."""
    there = list(names)
    listed = ", ".join(f'"{name}"' for name in there[:10]) + (" ..." if len(there) > 10 else "")
    return f'{where} has no "{key}"; it has {listed or "nothing"}. Name the right one with --text-key'


def _story_of(value: Any, key: str, where: str) -> str:
    """The story in a JSON value: a string, or an object that has one under the key."""
    if isinstance(value, dict):
        _require_key(value, key, where)
        value, where = value[key], f'{where} "{key}"'
    if value is None or isinstance(value, str):
        return value or ""
    kind = {bool: "true or false", list: "a list", dict: "an object"}.get(type(value), "a number")
    raise UserError(f"{where} holds {kind}, not text; name the right key with --text-key")
