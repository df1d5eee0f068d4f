"""Long texts in pieces: the tokenizers library needs about 100 bytes of memory for each byte of a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST = 1 << 16
"""Characters handed to the library as one text."""
LONGEST_WORD = 256
"""Characters of a word, or of a run of white space, that a BPE is trained on."""

_TOO_LONG = re.compile(rf"\s(?:\s{{{LONGEST_WORD}}}|\S{{{LONGEST_WORD + 1}}})|\A\S{{{LONGEST_WORD + 1}}}")
_WORD_PART = re.compile(rf"\s{{1,{LONGEST_WORD}}}\S{{0,{LONGEST_WORD}}}|\S{{1,{LONGEST_WORD}}}")


def pieces(text: str, longest: int | None = None) -> Iterator[str]:
    """Cut a long text where white space begins, which also begins a word of a byte-level BPE: the ids stay the same.

    Only a piece without such a position is cut anywhere.
    """
    longest = longest or LONGEST
    start = 0
    while len(text) - start > longest:
        cut = _last_space(text, start, start + longest)
        yield text[start:cut]
        start = cut
    yield text[start:]


def training_pieces(stories: Iterable[str]) -> Iterator[str]:
    """What a BPE is trained on: the words of the stories, very long ones in parts.

    Each merge goes through the whole of every word that contains it: a million letters without a space would take
    hours.
    """
    for story in stories:
        for piece in pieces(story):
            if _TOO_LONG.search(piece):
                yield from _WORD_PART.findall(piece)
            else:
                yield piece


def group_texts(texts: Iterable[str], chars: int) -> Iterator[list[str]]:
    """The texts in lists of at most `chars` characters, or of one longer text, so that memory stays bounded."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > chars:
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group


def _last_space(text: str, start: int, stop: int) -> int:
    """Where the last run of white space before `stop` begins; `stop` if there is none."""
    for position in range(stop - 1, start, -1):
        if text[position] in " \n\r\t" and not text[position - 1].isspace():
            return position
    return stop
