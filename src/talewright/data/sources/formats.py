"""Readers of story files, each also as .gz or .zst.

Files are read in chunks: memory holds one chunk or the longest story, never a whole file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import closing

from talewright.data.sources import text
from talewright.data.sources.compression import ByteStream, damage_errors, decompress
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.json_items import json_items
from talewright.data.sources.keys import require_key, story_of
from talewright.data.sources.parquet import read_parquet
from talewright.data.sources.text import read_lines, read_text
from talewright.data.sources.text_stories import read_text_stories
from talewright.errors import UserError


def read_records(name: str, open_file: Callable[[], ByteStream], form: FileFormat) -> Iterator[str]:
    """The stories of a file, in order, as they are; "" for a missing value.

    Raises UserError, naming the file and the place, if it cannot be read.
    """
    with closing(decompress(open_file(), name)) as stream, damage_errors(name):
        yield from _read(stream, name, form)


def _read(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    if form.kind == "csv":
        return _read_csv(stream, name, form)
    if form.kind == "jsonl":
        return _read_jsonl(stream, name, form.key)
    if form.kind == "json":
        return _read_json(stream, name, form.key)
    return read_parquet(stream, name, form.key) if form.kind == "parquet" else read_text_stories(stream, name, form)


def _read_jsonl(stream: ByteStream, name: str, key: str) -> Iterator[str]:
    for number, line in enumerate(read_lines(stream, name), 1):
        if line.strip(" \t\n\ufeff\0"):
            where = f"{name} line {number:,}"
            try:
                value = json.loads(line.strip("\ufeff"), strict=False)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not JSON: {error}") from None
            yield story_of(value, key, where)


def _read_json(stream: ByteStream, name: str, key: str) -> Iterator[str]:
    for number, value in enumerate(json_items(read_text(stream, name), name), 1):
        yield story_of(value, key, f"{name} item {number:,}")


def _read_csv(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    csv.field_size_limit(text.LONGEST_STORY)
    rows = csv.reader(read_lines(stream, name), delimiter=form.delimiter)
    try:
        column = form.column
        if column is None:
            header = next(rows, None)
            if header is None:
                return
            require_key(header, form.key, f"{name} line 1")
            column = header.index(form.key)
        for row in rows:
            if row:
                yield row[column] if column < len(row) else ""
    except csv.Error as error:
        raise UserError(f"{name} line {rows.line_num:,} is not CSV: {error}") from None
