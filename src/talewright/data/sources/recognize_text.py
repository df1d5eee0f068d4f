"""Recognition of how a text holds its stories, by statistics of a sample.

Stories and the paragraphs of a book are both separated by blank lines, and both may stand on a line each. They differ
in how they begin and how much they hold: a story has several sentences and begins afresh; many paragraphs are a single
sentence of dialogue, or go on from the one before with "He" or "But".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from talewright.config import EOT
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.text_stories import cut_documents, separator_pattern

MARKS = (EOT, "</s>")
"""Texts that mark the end of a story in collections for language models."""
_OTHER_MARKS = re.compile(
    r"<\|(?!(?-i:endoftext)\|)[a-z_]*(?:end|eo[stdf]|sep)[a-z_]*\|>|<(?:end|eo[std]|sep|/story)>|\[(?:end|eo[std]|sep)\]",
    re.IGNORECASE,
)
"""Further such texts; a single one is no evidence."""
FEWEST = 10
"""Fewer pieces are no evidence that they are stories, unless a mark separates them."""
_EXAMINED = 2000  # pieces

_RULE = re.compile(r"^[ \t]*((?:([-*#=~_+])[ \t]?)(?:\2[ \t]?){2,})$", re.MULTILINE)
_BLANK, _TWO_BLANK = re.compile(r"\n(?:[ \t]*\n)+"), re.compile(r"\n(?:[ \t]*\n){2,}")
_CLOSED = r"[.!?…。！？।][\"'”’»)\]*_]*"
_SENTENCE, _ENDED = re.compile(_CLOSED + r"(?=\s|$)"), re.compile(_CLOSED + r"\s*$")
_GOES_ON = re.compile(
    r"\W*[\"“‘«—–']|(?:he|she|they|it(?! was)|his|her|their|its|him|them|but|and|then|so|this|these|those|that|such|"
    r"yet|thus|however|nor|therefore|moreover|besides|meanwhile)\b",
    re.IGNORECASE,
)
_NUMBER = r"(?:[ivxlcdm]+|\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_CHAPTER = re.compile(rf"\W*(?:chapter|act|scene|canto|volume|book|part)\s+{_NUMBER}\b", re.IGNORECASE)
_SPEAKER = re.compile(r"[A-Z][^.!?\n]{0,40}:[ \t]*(?:\n|$)|[A-Z][A-Z ,']{1,40}\.(?:\s|$)")


class RecognizedText(NamedTuple):
    """A reading of a text."""

    form: FileFormat
    stories: int
    """Stories (or documents) of the sample."""


def recognize_text(sample: str, complete: bool, fewest: int = FEWEST) -> tuple[RecognizedText, RecognizedText | None]:
    """How a text holds its stories, from its beginning, and the second likely reading if there is one.

    Pieces of the text are stories only if there are at least `fewest`; what a mark separates always is.
    """
    if not complete:  # the last line may be cut off
        sample = sample[: sample.rfind("\n") + 1] or sample
    lines, blocks = _pieces(sample.split("\n")), _pieces(_BLANK.split(sample))
    by_line, by_block = (RecognizedText(FileFormat("lines"), len(lines)), _blank_lines(blocks, 1))
    for form in _separators(sample):
        pieces = _pieces(separator_pattern(form).split(sample))
        is_mark = form.separator in MARKS or _OTHER_MARKS.fullmatch(form.separator)
        if is_mark or _are_separated(pieces, fewest):
            found = RecognizedText(form, len(pieces))
            return found, by_block if by_block.stories > 10 * found.stories and _are_stories(blocks, fewest) else None
    chapters = _pieces(_TWO_BLANK.split(sample))
    if len(blocks) > 1.2 * len(chapters) and _are_separated(chapters, fewest):
        return _blank_lines(chapters, 2), by_block
    lines_are_stories = _are_stories(lines, fewest)
    if _are_stories(blocks, fewest) and not (lines_are_stories and len(lines) > 8 * len(blocks)):
        other = by_line if len(lines) > len(blocks) and _share(lines, _ENDED.search) > 0.7 else None
        return by_block, other
    if lines_are_stories:
        return by_line, by_block if len(blocks) < len(lines) and _may_be_stories(blocks) else None
    plain = RecognizedText(FileFormat("text"), sum(1 for _ in cut_documents([sample])))
    if _are_short_stories(blocks, fewest):
        return by_block, by_line if len(lines) > len(blocks) else plain
    if len(blocks) < 3 and _are_short_stories(lines, fewest):
        return by_line, plain
    ruled = [_separated(sample, form) for form in _separators(sample)]
    others = [*((other, 1) for other in ruled), (by_block, _may_be_stories(blocks)), (by_line, _may_be_stories(lines))]
    return plain, next((other for other, likely in others if likely and other.stories > 1), None)


def _separators(sample: str) -> list[FileFormat]:
    """What may separate stories, the most likely first."""
    others = Counter(_OTHER_MARKS.findall(sample))
    marks = [*MARKS, *(mark for mark, count in others.most_common(1) if count > 1)]
    found = [form for mark in marks if (form := mark_format(sample, mark))]
    rules = Counter(match[1].strip() for match in _RULE.finditer(sample))
    return found + [FileFormat("separator", rule) for rule, _ in rules.most_common(1)]


def mark_format(sample: str, mark: str) -> FileFormat | None:
    """How this text separates stories: on lines of its own, or anywhere if some stand within; None if there is none."""
    count = sample.count(mark)
    alone = len(separator_pattern(FileFormat("separator", mark)).findall(sample))
    return FileFormat("separator", mark, inside=count > alone) if count else None


def _separated(sample: str, form: FileFormat) -> RecognizedText:
    return RecognizedText(form, len(_pieces(separator_pattern(form).split(sample))))


def _pieces(texts: Sequence[str]) -> list[str]:
    return [piece for text in texts if (piece := text.strip())]


def _blank_lines(pieces: list[str], number: int) -> RecognizedText:
    return RecognizedText(FileFormat("blank-lines", blank_lines=number), len(pieces))


def _share(pieces: Sequence[str], holds: Callable[[str], object]) -> float:
    """Which share of the pieces, of about two thousand of them, fulfill this."""
    some = pieces[:: len(pieces) // _EXAMINED + 1]
    return sum(bool(holds(piece)) for piece in some) / max(1, len(some))


def _is_long(piece: str) -> bool:
    return len(piece) >= 200 or len(_SENTENCE.findall(piece)) >= 3


def _are_stories(pieces: list[str], fewest: int) -> bool:
    """Whether the pieces are whole stories: several sentences each, complete, and none goes on from the last."""
    long = 20 * median(map(len, pieces)) if pieces else 0
    return (
        len(pieces) >= fewest
        and sum(len(piece) for piece in pieces if len(piece) > long) <= 0.3 * sum(map(len, pieces))
        and _share(pieces, _is_long) >= 0.75
        and _share(pieces, _ENDED.search) >= 0.7
        and _share(pieces, _GOES_ON.match) <= 0.2
        and _share(pieces, _SPEAKER.match) <= 0.3
        and sum(_CHAPTER.match(piece) is not None for piece in pieces) < 2
    )


def _are_short_stories(pieces: list[str], fewest: int) -> bool:
    """Whether the pieces are one or two sentences each, all complete, and every one begins afresh."""
    lengths = sorted(map(len, pieces))
    return (
        len(pieces) >= fewest
        and lengths[len(lengths) // 10] >= 20
        and lengths[-1] <= 20 * median(lengths)
        and _share(pieces, _ENDED.search) >= 0.95
        and _share(pieces, _GOES_ON.match) <= 0.05
        and _share(pieces, _SPEAKER.match) <= 0.05
        and not any(map(_CHAPTER.match, pieces))
    )


def _may_be_stories(pieces: list[str]) -> bool:
    return len(pieces) > 1 and _share(pieces, _is_long) >= 0.5 and _share(pieces, _ENDED.search) >= 0.7


def _are_separated(pieces: list[str], fewest: int) -> bool:
    """Whether what stands between rules or two blank lines is stories, rather than chapters, headings or scenes."""
    if len(pieces) < fewest:
        return False
    lengths = sorted(map(len, pieces))
    middle, large = median(lengths), lengths[len(lengths) * 9 // 10]
    chapters = sum(_CHAPTER.match(piece) is not None for piece in pieces)
    return 40 <= middle <= 6000 and large <= 6 * middle and chapters < 2 and _share(pieces, _SPEAKER.match) <= 0.3
