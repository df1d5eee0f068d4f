"""Recognition of the column or key that holds the stories, and of a CSV file's delimiter and header."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from statistics import median
from typing import Any

from talewright.data.sources import text
from talewright.data.sources.compression import ByteStream, damage_errors, decompress
from talewright.data.sources.file_format import FileFormat, RecognizedFile
from talewright.data.sources.json_items import json_items
from talewright.data.sources.parquet import open_parquet
from talewright.errors import UserError

ONE_COLUMN = "\x1f"
"""The delimiter of a CSV file with a single column: a character that no text has."""
_ROWS = 100
_LONG = 50  # characters: shorter texts are titles, names or labels


def recognize_csv(name: str, sample: str, key: str, tabs: bool = False) -> RecognizedFile:
    """The delimiter, and the column of the stories: `key`, or the only column of text if the key is `text`."""
    delimiter = "\t" if tabs else _delimiter(sample, key)
    rows = _rows(sample, delimiter)
    header = rows[0] if rows else []
    form = FileFormat("csv", key=key, delimiter=delimiter)
    if not rows or key in header or key != "text":
        return RecognizedFile(form)
    columns = [[row[n] for row in rows[1:] if n < len(row)] for n in range(len(header))]
    if max(map(_is_story, header)):  # no name of a column is a sentence
        columns = [[cell, *column] for cell, column in zip(header, columns, strict=True)]
        column = _text_column(columns)
        if column is None:
            return RecognizedFile(form)
        of = f"; column {column + 1} of {len(header)} is read" if len(header) > 1 else ""
        message = f"{name}: no header, so the first row is a story too{of}"
        return RecognizedFile(FileFormat("csv", delimiter=delimiter, column=column), message)
    return _chosen(name, form, header, columns)


def recognize_json(name: str, sample: str, key: str, kind: str = "") -> RecognizedFile:
    """json or jsonl (by the contents unless `kind` names it), and the key of the stories as for a CSV file."""
    kind = kind or ("jsonl" if _is_json_lines(sample) else "json")
    items = json_items(iter([sample]), name) if kind == "json" else map(_parsed, io.StringIO(sample, newline="\n"))
    objects = [item for item in _until_error(items) if isinstance(item, dict)]
    form = FileFormat(kind, key=key)
    names = list(dict.fromkeys(name for item in objects for name in item))
    if not objects or key != "text" or key in names:
        return RecognizedFile(form)
    columns = [[item[each] for item in objects if item.get(each) is not None] for each in names]
    return _chosen(name, form, names, columns)


def recognize_parquet(name: str, open_file: Callable[[], ByteStream], key: str) -> RecognizedFile:
    """The column of the stories, as for a CSV file."""
    form = FileFormat("parquet", key=key)
    if key != "text":
        return RecognizedFile(form)
    stream = decompress(open_file(), name)
    with closing(stream), damage_errors(name), open_parquet(stream, name) as table:
        names = table.schema_arrow.names
        if key in names:
            return RecognizedFile(form)
        batch = next(table.iter_batches(batch_size=_ROWS), None)
        columns = [[]] * len(names) if batch is None else [column.to_pylist() for column in batch.columns]
    return _chosen(name, form, names, columns)


def _chosen(name: str, form: FileFormat, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> RecognizedFile:
    """The format with its only column of text, if it has one; otherwise the reader reports the missing key."""
    column = _text_column(columns)
    if column is None:
        return RecognizedFile(form)
    of = f" of {len(names)}" if len(names) > 1 else ""
    message = f'{name}: no "{form.key}"; the only text{of}, "{names[column]}", is read (--text-key changes this)'
    return RecognizedFile(FileFormat(form.kind, key=names[column], delimiter=form.delimiter), message)


def _text_column(columns: Sequence[Sequence[Any]]) -> int | None:
    """The only column of long texts, or else the only one of texts; None if there are none or several."""
    sizes = {n: median(map(len, texts)) for n, column in enumerate(columns) if (texts := _texts(column))}
    long = [n for n, size in sizes.items() if size >= _LONG]
    candidates = long or list(sizes)
    return candidates[0] if len(candidates) == 1 else None


def _texts(column: Sequence[Any]) -> list[str]:
    """The texts of a column; none if it holds anything else, or numbers written as texts."""
    texts = [value for value in column if value not in (None, "")]
    if not all(isinstance(value, str) for value in texts) or all(map(_is_number, texts)):
        return []
    return texts


def _is_number(value: str) -> bool:
    try:
        float(value.replace(",", "."))
    except ValueError:
        return False
    return True


def _is_story(cell: str) -> bool:
    return len(cell) >= _LONG or cell.rstrip().endswith((".", "!", "?", "”", '."'))


def _delimiter(sample: str, key: str) -> str:
    """The delimiter that makes a table of the sample: whose header has the key, or with most columns in every row."""
    widths: dict[str, int] = {}
    for delimiter in (",", ";", "\t"):
        rows = _rows(sample, delimiter)
        if not rows:
            return ","
        if key in rows[0] and len(rows[0]) > 1:
            return delimiter
        same = sum(len(row) == len(rows[0]) for row in rows) >= 0.9 * len(rows)
        prose = sum(cell.startswith(" ") for row in rows for cell in row[1:]) > len(rows) / 2
        widths[delimiter] = len(rows[0]) if same and not prose else 1
    best = max(widths, key=lambda delimiter: widths[delimiter])
    return best if widths[best] > 1 else ONE_COLUMN


def _rows(sample: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(text.LONGEST_STORY)
    rows = csv.reader(io.StringIO(sample, newline="\n"), delimiter=delimiter)
    return [row for row in _until_error(rows) if row]


def _parsed(line: str) -> Any:
    return json.loads(line, strict=False) if line.strip(" \t\0") else None


def _is_json_lines(sample: str) -> bool:
    first, _, rest = sample.lstrip().partition("\n")
    try:
        value = json.loads(first, strict=False)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, dict):
        return bool(rest.strip()) or not any(isinstance(item, list) for item in value.values())
    return isinstance(value, str)


def _until_error(items: Iterable[Any]) -> list[Any]:
    """The first items; the sample may end within one, and damage is reported by the reader."""
    found: list[Any] = []
    try:
        for item in islice(items, _ROWS):
            found.append(item)
    except (UserError, csv.Error, ValueError, RecursionError):
        pass
    return found
