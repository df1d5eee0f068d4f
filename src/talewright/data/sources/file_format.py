"""How one file holds its stories: what was asked for, or recognized."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from talewright.errors import UserError

KEYED = ("csv", "json", "jsonl", "parquet")
"""Kinds of files whose stories are in a column or under a key."""


@dataclass(frozen=True)
class FileFormat:
    """Everything that a reader of story files needs to know besides the file."""

    kind: str
    """separator, blank-lines, lines, text, csv, json, jsonl or parquet."""
    separator: str = ""
    """With kind separator: the line between stories."""
    inside: bool = False
    """Whether the separator also separates stories within a line."""
    blank_lines: int = 1
    """With kind blank-lines: the fewest consecutive ones between stories."""
    key: str = "text"
    """Column or key that holds the story."""
    delimiter: str = ","
    """Between the cells of a CSV file."""
    column: int | None = None
    """The column that holds the story in a CSV file without a header."""
    quote: str = '"'
    """The quotation mark around the cells of a CSV file; "" if they have none."""
    escaped: bool = False
    """Whether a backslash, instead of another quotation mark, precedes one within a cell of a CSV file."""
    field: str = ""
    """The key under which the only object of a JSON file holds all the stories; "" if it is no such object."""

    def values(self) -> dict[str, Any]:
        """What differs from the defaults, as plain values; a FileFormat again with `FileFormat(**values)`."""
        default = FileFormat(self.kind)
        changed = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in changed.items() if name == "kind" or value != getattr(default, name)}

    def follows(self, separator: str) -> bool:
        """Whether this separator was taken."""
        asked = separator_form(separator)
        return (self.kind, self.separator) == (asked.kind, asked.separator)

    def describe(self, count: str = "") -> str:
        """`400 stories separated by blank lines`: the format of this number of stories (or documents)."""
        several, number = count != "1", f"{count} " if count else ""
        if self.kind == "text":
            return f"plain text, cut into {number}document{'s' * several}"
        stories = number + ("stories" if several else "story")
        if self.kind == "separator":
            return f"{stories} separated by {self.separator}" + (" within lines" if self.inside else "")
        if self.kind == "blank-lines":
            return f"{stories} separated by {'two blank lines' if self.blank_lines > 1 else 'blank lines'}"
        if self.kind == "lines":
            return f"{stories}, one per line"
        if self.column is not None:
            return f"{stories} in column {self.column + 1} of a file without a header"
        return f'{stories} in {"column" if self.kind in ("csv", "parquet") else "key"} "{self.key}"'


class RecognizedFile(NamedTuple):
    """The format of a file, and a sentence on what was recognized or assumed; "" if nothing was."""

    form: FileFormat
    message: str = ""


def separator_form(separator: str) -> FileFormat:
    r"""What a separator means, as it is written in a setting.

    "" and `blank line` are a blank line, `two blank lines` are two; `\n` is the end of a line, so that two of them are
    a blank line. Raises UserError if it has several lines.
    """
    named = re.fullmatch(r"(two[ -])?blank[ -]lines?", separator.strip().lower())
    if named:
        return FileFormat("blank-lines", blank_lines=2 if named[1] else 1)
    written = re.sub(r"\\r(?![a-z])", "", separator)
    written = re.sub(r"\\n(?![a-z])", "\n", written).replace("\r", "")
    line = written.strip()
    if "\n" in line:
        parts = " and ".join(repr(part) for part in line.split("\n") if part.strip())
        raise UserError(f"--separator names one line between stories, not several; write one of {parts}")
    if line:
        return FileFormat("separator", line)
    ends = written.count("\n")
    return FileFormat("lines") if ends == 1 else FileFormat("blank-lines", blank_lines=2 if ends > 2 else 1)
