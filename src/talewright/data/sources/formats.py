"""Readers of story files, each also as .gz or .zst.

Files are read in chunks: memory holds one chunk or the longest story, never a whole file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from talewright.data.sources.compression import ByteStream, damage_errors, decompress
from talewright.data.sources.csv_dialect import ONE_COLUMN
from talewright.data.sources.csv_rows import IN_DOUBT, read_rows
from talewright.data.sources.faults import stories_without_faults
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.json_items import json_items
from talewright.data.sources.keys import object_with, require_key, story_of
from talewright.data.sources.parquet import read_parquet
from talewright.data.sources.text import read_lines, read_text
from talewright.data.sources.text_stories import read_text_stories
from talewright.errors import UserError

_RAGGED = "text that contains the delimiter needs quotation marks, and an empty cell keeps its delimiter"


_QUOTED = re.compile(r"'(?:[^']|'')*''(?:[^']|'')*'")
_ESCAPED = re.compile(r"\\[,;|\t]")


def read_records(name: str, open_file: Callable[[], ByteStream], form: FileFormat) -> Iterator[str]:
    """The stories of a file, in order, as they are; "" for a missing value.

    Raises UserError, naming the file and the place, if it cannot be read.
    """
    with closing(decompress(open_file(), name)) as stream, damage_errors(name):
        yield from _read(stream, name, form)


def _read(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    if form.kind == "csv":
        return stories_without_faults(_csv_cells(stream, name, form), "line")
    if form.kind == "jsonl":
        return stories_without_faults(_jsonl_stories(stream, name, form.key), "line")
    if form.kind == "json":
        return stories_without_faults(_json_stories(stream, name, form), "item")
    return read_parquet(stream, name, form.key) if form.kind == "parquet" else read_text_stories(stream, name, form)


def _jsonl_stories(stream: ByteStream, name: str, key: str) -> Iterator[tuple[int, str | UserError]]:
    decode = json.JSONDecoder(strict=False, object_pairs_hook=object_with(key)).decode
    for number, line in enumerate(read_lines(stream, name), 1):
        bare = line.strip(" \t\n\ufeff\0")
        if bare:
            where = f"{name} line {number:,}"
            try:
                value = decode(bare)
            except (ValueError, RecursionError) as error:
                yield number, UserError(f"{where} is not JSON: {error}")
            else:
                yield number, _story_or_fault(value, key, where)


def _json_stories(stream: ByteStream, name: str, form: FileFormat) -> Iterator[tuple[int, str | UserError]]:
    key = form.key.removeprefix(f"{form.field}.")  # a key such as list.text names the list as well
    items = json_items(read_text(stream, name), name, key, form.field, only=key == form.key)
    for number, value in enumerate(items, 1):
        yield number, _story_or_fault(value, key, f"{name} item {number:,}")


def _story_or_fault(value: Any, key: str, where: str) -> str | UserError:
    try:
        return story_of(value, key, where)
    except UserError as error:
        return error


def _csv_cells(stream: ByteStream, name: str, form: FileFormat) -> Iterator[tuple[int, str | UserError]]:
    """The cell that holds the story of each row, with the line that the row begins in."""
    column, width = form.column, 0
    for line, row in read_rows(read_lines(stream, name), name, form):
        if not width:
            width = len(row)
            if column is None:
                require_key(row, form.key, f"{name} line {line:,}")
                column = row.index(form.key)
                continue
        if len(row) == width and column is not None:
            yield line, _without_doubt(row[column], form, f"{name} line {line:,}")
        else:
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            yield line, UserError(f"{name} line {line:,} has {cells}, not {width} as the first row; {_RAGGED}")


def _without_doubt(cell: str, form: FileFormat, where: str) -> str | UserError:
    """The cell, or a fault if its apostrophes or backslashes may be quotation marks or escapes of the file."""
    if form.quote != "'" and cell[:1] == "'" == cell[-1:] and _QUOTED.fullmatch(cell):
        kind = "the text is in apostrophes, and doubles those within"
    elif form.delimiter == ONE_COLUMN and not form.escaped and "\\" in cell and (found := _ESCAPED.search(cell)):
        kind = f"a backslash precedes {found[0][1]!r}, but not everywhere in the file"
    else:
        return cell
    return UserError(f"{where}: {kind}: these may be marks of CSV or part of the story; {IN_DOUBT}")
