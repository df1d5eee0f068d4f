"""Recognition of the column or key that holds the stories."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Any

from talewright.data.sources.compression import ByteStream, damage_errors, decompress
from talewright.data.sources.csv_dialect import doubtful_line, recognize_dialect, sample_rows
from talewright.data.sources.csv_rows import IN_DOUBT
from talewright.data.sources.file_format import FileFormat, RecognizedFile
from talewright.data.sources.json_items import json_fields, json_items
from talewright.data.sources.keys import at_key, has_key, key_names
from talewright.data.sources.parquet import column_names, open_parquet
from talewright.errors import UserError

_ROWS = 100
_MOST_TEXTS = 10  # of one story: the story itself, a summary and the like
_LONG = 50  # characters: shorter texts are titles, names or labels


def recognize_csv(name: str, sample: str, key: str, tabs: bool = False) -> RecognizedFile:
    """The dialect, and the column of the stories: `key`, or the only column of text if the key is `text`."""
    form = recognize_dialect(sample, key, tabs)
    if line := doubtful_line(sample, form):
        raise UserError(
            f"{name} line {line:,}: a cell is in apostrophes: they may be quotation marks of CSV or part of the story; "
            f"{IN_DOUBT}"
        )
    rows = sample_rows(sample, form, _ROWS)
    header = rows[0] if rows else []
    if below := next((n for n, row in enumerate(rows[1:4], 2) if _names_key(row, key) and key not in header), None):
        raise UserError(
            f'{name}: its first row has no "{key}", but row {below} has; remove what stands before the header'
        )
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
        return RecognizedFile(replace(form, column=column), message)
    return _chosen(name, form, header, columns)


def recognize_json(name: str, sample: str, key: str, kind: str, given: bool = False) -> RecognizedFile:
    """json or jsonl (by the contents unless it is given), where its stories are, and their key."""
    lines = io.StringIO(sample.lstrip("\ufeff \t\n\0"), newline="\n").readlines()
    if not given:
        kind = "jsonl" if _are_json_lines(lines[: 5 if kind == "jsonl" else 1]) else "json"
    form = FileFormat(kind, key=key)
    may_hold_all = kind == "json" or (len(lines) < 2 and not given)
    if may_hold_all and (found := _with_field(name, FileFormat("json", key=key), json_fields(sample, key))):
        return found
    items = json_items(iter([sample]), name, key) if kind == "json" else _parsed_lines(lines)
    return _with_key(name, form, _until_error(items))


def _with_field(name: str, form: FileFormat, fields: dict[str, Any]) -> RecognizedFile | None:
    """The format of an object that holds all the stories; None if the file is none, or is a story itself.

    The stories are a list under their key, or objects in the only list of objects, or the only list if the object holds
    nothing else. A list of texts beside anything else may be anything, such as labels.
    """
    key, every = form.key, dict(_lists(fields))
    if key in fields or key in every:
        return RecognizedFile(replace(form, field=key)) if key in every or _is_column(fields[key]) else None
    if named := [each for each in every if key.startswith(f"{each}.")]:
        return RecognizedFile(replace(form, field=max(named, key=len)))
    if sum(has_key(value, key) for value in fields.values()) > 1:
        raise UserError(
            f'{name}: its object holds several objects with "{key}"; write them as a list: [{{...}}, {{...}}]'
        )
    lists = {each: some for each, some in every.items() if _has_objects(some)}
    with_key = [each for each, some in lists.items() if any(has_key(item, key) for item in some[:_ROWS])]
    texts = [value for value in fields.values() if isinstance(value, str) and _is_story(value)]
    if len(texts) == len(fields) > _MOST_TEXTS:
        raise UserError(f'{name}: its object holds {len(texts):,} texts; write them as a list: ["...", "..."]')
    chosen = with_key or ([] if texts else list(lists))
    if len(chosen) > 1:
        choice = ", ".join(f'"{each}"' for each in chosen)
        columns = {each: _columns(lists[each]) for each in chosen}
        likely = [
            f"{each}.{names[n]}" for each, (names, cells) in columns.items() if (n := _text_column(cells)) is not None
        ]
        example = (likely or [f"{chosen[0]}.{key}"])[0]
        raise UserError(
            f"{name}: its object holds several lists: {choice}. Name one with --text-key, such as {example}"
        )
    if chosen:
        return _with_key(name, replace(form, field=chosen[0]), lists[chosen[0]][:_ROWS])
    if key == "text" and len(every) == 1 and not _others(fields) and all(map(_texts, every.values())):
        (only,) = every
        return RecognizedFile(replace(form, field=only), f'{name}: no "text"; its only list, "{only}", is read')
    return RecognizedFile(form) if any(map(_has_texts, fields.values())) else None


def _lists(fields: dict[str, Any], outer: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The lists within an object, by their keys: `outer.inner` within an object within it."""
    for key, value in fields.items():
        if isinstance(value, list):
            yield outer + key, value
        elif isinstance(value, dict):
            yield from _lists(value, f"{outer}{key}.")


def _others(fields: dict[str, Any]) -> bool:
    """Whether an object holds anything but one list, or an object with one list."""
    return len(fields) != 1 or any(_others(value) for value in fields.values() if isinstance(value, dict))


def _with_key(name: str, form: FileFormat, items: Sequence[Any]) -> RecognizedFile:
    objects = [item for item in items if isinstance(item, dict)]
    if not objects or form.key != "text" or any(form.key in item for item in objects):
        return RecognizedFile(form)
    return _chosen(name, form, *_columns(objects))


def _columns(items: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """The keys of the objects among these items, and what stands under each."""
    objects = [item for item in items[:_ROWS] if isinstance(item, dict)]
    names = list(dict.fromkeys(each for item in objects for each in key_names(item)))
    return names, [[at_key(item, each) for item in objects if has_key(item, each)] for each in names]


def is_json(sample: str, key: str) -> bool:
    """Whether a text is JSON: begins with an object, or with a list of objects or texts."""
    if sample[:1] not in ("{", "["):
        return False
    try:
        items = json_items(iter([sample]), "", key)
        first = next(items, None)
        if sample[0] == "[" and isinstance(first, str):
            first = next(items, None)
    except UserError:
        return bool(json_fields(sample, key))
    return isinstance(first, dict) or (sample[0] == "[" and isinstance(first, str))


def is_csv(sample: str, key: str) -> bool:
    """Whether a text is a CSV file: its first line names several columns, one of them the story's, which all rows
    have.
    """
    first = sample.partition("\n")[0]
    if len(first) > 1000 or not re.search(rf"(?:^|[,;\t|])[\"']?{re.escape(key)}[\"']?(?:[,;\t|]|$)", first):
        return False
    rows = sample_rows(sample, recognize_dialect(sample, key, tabs=False), _ROWS)
    same = len(rows) > 1 and all(len(row) == len(rows[0]) for row in rows)
    return same and len(rows[0]) > 1 and key in rows[0] and not any(map(_is_story, rows[0]))


def recognize_parquet(name: str, open_file: Callable[[], ByteStream], key: str) -> RecognizedFile:
    """The column of the stories, as for a CSV file."""
    form = FileFormat("parquet", key=key)
    if key != "text":
        return RecognizedFile(form)
    stream = decompress(open_file(), name)
    with closing(stream), damage_errors(name), open_parquet(stream, name) as table:
        if key in table.schema_arrow.names:
            return RecognizedFile(form)
        names = column_names(table.schema_arrow)
        batch = next(table.iter_batches(batch_size=_ROWS), None)
        rows = [] if batch is None else batch.to_pylist()
        columns = [[at_key(row, each) if has_key(row, each) else None for row in rows] for each in names]
    return _chosen(name, form, names, columns)


def _names_key(row: Sequence[str], key: str) -> bool:
    """Whether a row names the key beside other columns, whatever stands between them."""
    names = row if len(row) > 1 else re.split(r"[,;\t|]", row[0])
    return len(names) > 1 and key in names


def _chosen(name: str, form: FileFormat, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> RecognizedFile:
    """The format with its only column of text, if it has one; otherwise the reader reports the missing key."""
    column = _text_column(columns)
    if column is None:
        return RecognizedFile(form)
    of = f" of {len(names)}" if len(names) > 1 else ""
    message = f'{name}: no "{form.key}"; the only text{of}, "{names[column]}", is read (--text-key changes this)'
    return RecognizedFile(replace(form, key=names[column]), message)


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


def _is_column(value: Any) -> bool:
    """Whether it holds the stories of all rows: a list, or an object whose keys number the rows, as pandas writes."""
    return isinstance(value, list) or (isinstance(value, dict) and bool(value) and all(map(str.isdigit, value)))


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value[:_ROWS])


def _has_texts(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, str) for item in value[:_ROWS])


def _parsed_lines(lines: Iterable[str]) -> Iterable[Any]:
    for line in lines:
        if bare := line.strip(" \t\n\0"):
            yield json.loads(bare, strict=False)


def _are_json_lines(lines: Sequence[str]) -> bool:
    """Whether the first line is a whole value and no beginning of a list or an object, or another one is an object."""
    first = lines[0].strip() if lines else "["
    if first.startswith("[") or first == "{":
        return False
    return not first.startswith("{") or any(_until_error(_parsed_lines([line])) for line in lines)


def _until_error(items: Iterable[Any]) -> list[Any]:
    """The first items; the sample may end within one, and damage is reported by the reader."""
    found: list[Any] = []
    try:
        for item in islice(items, _ROWS):
            found.append(item)
    except (UserError, ValueError, RecursionError):
        pass
    return found
