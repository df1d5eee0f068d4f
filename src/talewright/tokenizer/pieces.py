"""Long texts in pieces: the tokenizers library takes some 100 bytes of memory for each byte of a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST = 1 << 16  # characters handed to the library as one text
LONGEST_WORD = 256  # characters that a BPE is taught of a run of letters, or of blanks

_TOO_LONG = re.compile(rf"\s(?:\s{{{LONGEST_WORD}}}|\S{{{LONGEST_WORD + 1}}})|\A\S{{{LONGEST_WORD + 1}}}")
_TAUGHT = re.compile(rf"\s{{1,{LONGEST_WORD}}}\S{{0,{LONGEST_WORD}}}|\S{{1,{LONGEST_WORD}}}")


def pieces(text: str, longest: int | None = None) -> Iterator[str]:
    """Cut a long text where blanks begin, and so does a new word of a byte-level BPE: the ids are those of the whole.

    Only where a piece of that length has no such place it is cut anywhere.
    """
    longest = longest or LONGEST
    start = 0
    while len(text) - start > longest:
        cut = _last_blank(text, start, start + longest)
        yield text[start:cut]
        start = cut
    yield text[start:]


def taught(stories: Iterable[str]) -> Iterator[str]:
    """What a BPE is to learn from the stories: their words, the endless ones in parts.

    Each merge goes through the whole of every word that it is found in: a million letters without a blank would take
    hours.
    """
    for story in stories:
        for piece in pieces(story):
            if _TOO_LONG.search(piece):
                yield from _TAUGHT.findall(piece)
            else:
                yield piece


def _last_blank(text: str, start: int, stop: int) -> int:
    """Where the last run of blanks before `stop` begins; `stop` where there is none."""
    for at in range(stop - 1, start, -1):
        if text[at] in " \n\r\t" and not text[at - 1].isspace():
            return at
    return stop
