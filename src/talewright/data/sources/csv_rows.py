"""Rows of CSV files, read strictly: what is no CSV is refused, not guessed at."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

from talewright.data.sources import text
from talewright.data.sources.file_format import FileFormat
from talewright.errors import UserError

_SEPARATOR_LINE = re.compile(r"sep=(.)\n?", re.IGNORECASE)
"""A first line that names the delimiter for Excel."""
_ADVICE = (
    'in a cell within quotation marks, those of the text are doubled (""), as spreadsheets and Python\'s csv module '
    "write them; if every line is a complete story, read it with --format lines"
)

IN_DOUBT = "JSON Lines (.jsonl) is unambiguous; if every line is a complete story, use --format lines"


def separator_line(sample: str) -> str:
    """The delimiter that a first line such as `sep=;` names; "" if there is none."""
    match = _SEPARATOR_LINE.match(sample)
    return match[1] if match and match.end() in (len(sample), sample.find("\n") + 1) else ""


def read_rows(lines: Iterable[str], name: str, form: FileFormat) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, and the line that it begins in.

    Raises UserError, naming the line, if a quotation mark is not closed, or text follows a closing one.
    """
    reader, begin = _reader(lines, form), 1
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                is_separator_line = begin == 1 and separator_line(form.delimiter.join(row)) == form.delimiter
                if not is_separator_line:
                    yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(_message(str(error), name, begin, reader.line_num)) from None


def _reader(lines: Iterable[str], form: FileFormat) -> Any:
    csv.field_size_limit(text.LONGEST_STORY)
    if not form.quote:
        return csv.reader(lines, delimiter=form.delimiter, quoting=csv.QUOTE_NONE, strict=True)
    if form.escaped:
        # A backslash before any other character, as in "\n", is a backslash.
        escapes = re.compile(rf"\\([{re.escape(form.delimiter)}{form.quote}\\\n]?)")
        lines = (escapes.sub(lambda match: match[0] if match[1] else "\\\\", line) for line in lines)
    return csv.reader(
        lines,
        delimiter=form.delimiter,
        quotechar=form.quote,
        doublequote=True,  # also where they are escaped: without it, text may follow a closing quotation mark
        escapechar="\\" if form.escaped else None,
        skipinitialspace=True,
        strict=True,
    )


def _message(reason: str, name: str, begin: int, line: int) -> str:
    opened = f" that begins in line {begin:,}" if begin != line else ""
    if "expected after" in reason:
        return f"{name} line {line:,}: text follows a closing quotation mark in the row{opened}; {_ADVICE}"
    if "end of data" in reason:
        return f"{name} line {begin:,}: a quotation mark that opens in this row is never closed; {_ADVICE}"
    if "field limit" in reason:
        millions = text.LONGEST_STORY >> 20
        return (
            f"{name} line {begin:,}: a cell of this row is longer than {millions} million characters; a quotation mark "
            f"may not be closed; {_ADVICE}"
        )
    return f"{name} line {line:,} is not CSV: {reason}"
