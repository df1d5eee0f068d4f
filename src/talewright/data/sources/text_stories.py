"""Stories in text files: between separators or blank lines, one per line, or documents cut from a plain text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator

from talewright.config import EOT
from talewright.data.sources import text
from talewright.data.sources.compression import ByteStream
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.text import read_blocks, read_lines, read_text
from talewright.errors import UserError

logger = logging.getLogger(__name__)

DOCUMENT = (2000, 4000)
"""The fewest and the most characters of a document that is cut from a plain text; the last may be shorter."""
_ENDS = [re.compile(pattern) for pattern in (r"\n[ \t]*\n", r"\n", r"[.!?][\"'”’)]*\s", r"\s")]
"""Where a document may end: after a paragraph, else a line, a sentence, a word."""


def read_text_stories(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    """The stories of a text file. Raises UserError if one is longer than any story.

    Warns of end-of-text marks that separate nothing: they may come after what the file was recognized by.
    """
    within = 0
    for story in _read_stories(stream, name, form):
        within += story.count(EOT)
        yield story
    if within:
        if form.kind == "separator":
            remedy = "put it on lines of its own" if form.separator == EOT else "leave --separator out"
        else:
            remedy = "add --format separator"
        message = "%s: %s occurs inside stories %s times and does not separate them; %s if it should"
        logger.warning(message, name, EOT, f"{within:,}", remedy)


def _read_stories(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    if form.kind == "lines":
        yield from (line for line in read_lines(stream, name) if line.strip())
    elif form.kind == "text":
        yield from cut_documents(read_text(stream, name))
    elif form.kind == "blank-lines":
        yield from _read_between_blank_lines(stream, name, form.blank_lines)
    else:
        yield from _read_separated(stream, name, form)


def separator_pattern(form: FileFormat) -> re.Pattern[str]:
    """A line that holds only the separator; the end-of-text mark, which is in no story, also at the end of a line."""
    separator = form.separator.strip()
    if form.inside:
        return re.compile(rf"[ \t]*{re.escape(separator)}[ \t]*\n?")
    start = "" if separator == EOT else r"^[ \t]*"
    return re.compile(rf"{start}{re.escape(separator)}[ \t]*(?:\n|\Z)", re.MULTILINE)


def _read_separated(stream: ByteStream, name: str, form: FileFormat) -> Iterator[str]:
    """Stories between separators, blank ones too; what follows the last separator only if it is not blank."""
    separator = separator_pattern(form)
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
        _check_size(size, f"line {form.separator}", name)
    last = "".join(story)
    if last.strip():
        yield last


def _read_between_blank_lines(stream: ByteStream, name: str, blank_lines: int) -> Iterator[str]:
    story: list[str] = []
    size = blank = 0
    for line in read_lines(stream, name):
        if not line.strip():
            blank += 1
        elif blank >= blank_lines and story:
            yield "".join(story)
            story, size, blank = [], 0, 0
        else:
            blank = 0
        if story or line.strip():
            story.append(line)
            size += len(line)
            _check_size(size, "blank line", name)
    if story:
        yield "".join(story)


def cut_documents(chunks: Iterable[str]) -> Iterator[str]:
    """Documents of a plain text, in order; where they are cut depends on the text alone, not on the chunks."""
    shortest, longest = DOCUMENT
    waiting = ""
    for chunk in chunks:
        waiting, begin = waiting + chunk, 0
        while len(waiting) - begin > longest:
            end = _document_end(waiting, begin + shortest, begin + longest)
            yield waiting[begin:end]
            begin = end
        waiting = waiting[begin:]
    if waiting.strip():
        yield waiting


def _document_end(waiting: str, first: int, last: int) -> int:
    ends = (pattern.search(waiting, first, last) for pattern in _ENDS)
    return next((end.end() for end in ends if end), last)


def _check_size(size: int, separator: str, name: str) -> None:
    if size > text.LONGEST_STORY:
        raise UserError(
            f"{name} has no {separator} in {text.LONGEST_STORY >> 20} million characters; "
            "name what separates its stories with --separator, or read it as plain text with --format text"
        )
