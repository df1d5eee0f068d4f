"""Recognition of a CSV file's delimiter and quotation marks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from talewright.data.sources.csv_rows import read_rows, separator_line
from talewright.data.sources.file_format import FileFormat
from talewright.errors import UserError

ONE_COLUMN = "\x1f"
"""The delimiter of a CSV file with a single column: a character that no text has."""
_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 100


def recognize_dialect(sample: str, key: str, tabs: bool) -> FileFormat:
    """How the rows of a sample are written, with the story's key; tabs are preferred for a .tsv file."""
    standard = _with_delimiter(sample, FileFormat("csv", key=key), tabs)
    reach = _reach(sample, standard)
    for other in _alternatives(sample, standard):
        form = _with_delimiter(sample, other, tabs)
        further = _reach(sample, form) - reach
        likely = _has_single_quotes(sample, form) if form.quote == "'" else _needs_escapes(sample)
        if further > 0 or (further == 0 and likely):
            return form
    if standard.delimiter == ONE_COLUMN and (escaped := _escaped_column(sample, standard)):
        return escaped
    if standard.delimiter == "\t" and not re.search(r'(?:^|\t)"[^\t\n]*"(?:\t|$)', sample, re.MULTILINE):
        unquoted = replace(standard, quote="")
        return unquoted if _reach(sample, unquoted) > reach else standard
    return standard


def _alternatives(sample: str, standard: FileFormat) -> Iterator[FileFormat]:
    """What else the signs in a sample may mean."""
    if "\\'" in sample:
        yield replace(standard, quote="'", escaped=True)
    if re.search(r"(?:^|[^\w\s\"'.-]|\t)'", sample, re.MULTILINE):
        yield replace(standard, quote="'")
    if re.search(rf"\\[\"\n{re.escape(standard.delimiter)}]", sample):
        yield replace(standard, escaped=True)


def _has_single_quotes(sample: str, form: FileFormat) -> bool:
    """Whether apostrophes are this file's quotation marks: all stand around cells, are doubled or escaped, and each
    such cell needs them, or every row has one.
    """
    cells, outside = _in_single_quotes(sample, form)
    if "'" in outside:
        return False
    special = [mark for mark in _DELIMITERS if form.delimiter == mark or mark not in outside]
    needed = [cell for cell in cells if "''" in cell or "\n" in cell or any(mark in cell for mark in special)]
    everywhere = len(cells) >= len(sample_rows(sample, form)) - 1
    return bool(needed or form.escaped or (cells and everywhere))


def doubtful_line(sample: str, form: FileFormat) -> int | None:
    """The first line with a cell in apostrophes that may be its quotation marks or part of the story."""
    cells, outside = ([], "") if form.quote == "'" else _in_single_quotes(sample, form)
    if not cells or "'" in outside:
        return None
    return sample.count("\n", 0, sample.find(cells[0])) + 1


def _in_single_quotes(sample: str, form: FileFormat) -> tuple[list[str], str]:
    """The cells in apostrophes, and what else the sample holds."""
    if "'" not in sample:
        return [], ""
    if form.escaped and form.quote == "'":
        sample = re.sub(r"\\.", "", sample, flags=re.DOTALL)
    delimiter = re.escape(form.delimiter)
    quoted = re.compile(rf"(?:^|(?<={delimiter})) ?('(?:[^']|'')*')(?={delimiter}|$)", re.MULTILINE)
    return quoted.findall(sample), quoted.sub("", sample)


def _escaped_column(sample: str, standard: FileFormat) -> FileFormat | None:
    """The format of a single column in which a backslash precedes each delimiter; None if it is none.

    Cells in quotation marks need no backslash.
    """
    for delimiter in _DELIMITERS if _needs_escapes(sample) else ():
        form = replace(standard, escaped=True, delimiter=delimiter)
        rows = sample_rows(sample, form) if f"\\{delimiter}" in sample else []
        if rows and _reach(sample, form) >= _reach(sample, standard) and len(rows[0]) == 1:
            return form
    return None


def _needs_escapes(sample: str) -> bool:
    """Whether a backslash precedes every quotation mark, or one where a standard file has no quotation mark."""
    return not re.search(r'(?<!\\)"', sample) or bool(re.search(r'\\"(?![",;|\t\n]|\Z)', sample))


def sample_rows(sample: str, form: FileFormat, count: int | None = None) -> list[list[str]]:
    """The first rows of a sample, up to what is no CSV."""
    rows: list[list[str]] = []
    try:
        for _, row in islice(read_rows(io.StringIO(sample, newline="\n"), "", form), count):
            rows.append(row)
    except UserError:
        pass
    return rows


def _reach(sample: str, form: FileFormat) -> int:
    """Lines up to the first row that is no CSV or has another number of cells than the first one."""
    end, width = 0, 0
    try:
        for line, row in read_rows(io.StringIO(sample, newline="\n"), "", form):
            width = width or len(row)
            end = line
            if len(row) != width:
                return line - 1
    except UserError:
        return end
    return max(end, sample.count("\n") + 1)


def _with_delimiter(sample: str, form: FileFormat, tabs: bool) -> FileFormat:
    return replace(form, delimiter="\t" if tabs and "\t" in sample.partition("\n")[0] else _delimiter(sample, form))


def _delimiter(sample: str, form: FileFormat) -> str:
    """The delimiter that makes a table of the sample: whose header has the key, or with most columns in every row."""
    if named := separator_line(sample):
        return named
    widths: dict[str, int] = {}
    key, first = re.escape(form.key), sample.partition("\n")[0]
    beside_key = re.findall(rf"(?:^|\W){key}[\"']?([^\w\s'\".-])|([^\w\s'\".-])[\"']?{key}[\"']?$", first)
    for delimiter in (*_DELIMITERS, *filter(None, chain(*beside_key))):
        rows = sample_rows(sample, replace(form, delimiter=delimiter), _ROWS)
        if not rows:
            continue
        header, width = rows[0], len(rows[0])
        if form.key in header and width > 1:
            return delimiter
        names = all(re.fullmatch(r"[\w-]+", cell.strip()) for cell in header)
        same = sum(len(row) == width for row in rows) >= (0.5 if names else 0.9) * len(rows)
        several = sum(len(row) > 1 for row in rows) >= 0.9 * len(rows)
        table = (same or (names and several)) and (names or not _is_prose(sample, delimiter, len(rows)))
        widths[delimiter] = width if table else 1
    best = max(widths, key=lambda delimiter: widths[delimiter], default=",")
    return best if widths.get(best, 2) > 1 else ONE_COLUMN


def _is_prose(sample: str, delimiter: str, rows: int) -> bool:
    """Whether blanks follow the delimiter, as they follow a comma in a sentence."""
    cells = islice(csv.reader(io.StringIO(sample, newline="\n"), delimiter=delimiter), rows)
    return sum(cell.startswith(" ") for row in cells for cell in row[1:]) > rows / 2
