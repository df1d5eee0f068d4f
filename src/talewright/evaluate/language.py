"""What figures make sense for some stories: whether spaces separate their words, and whether they are English.

Both are seen in the stories themselves. Where there are too few words to tell, they count as English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from talewright.evaluate.ngrams import UNSPACED, words_of

ENGLISH_WORDS = frozenset(["the", "and", "to", "she", "they", "you", "with", "his", "her", "said"])
"""Frequent words of English that are rare in other languages: about a sixth of the words of a story."""
MIN_ENGLISH, MAX_UNSPACED = 0.04, 0.2
"""The least share of those words in English, and the largest share of characters of scripts without blanks among words
and such characters.
"""
MIN_WORDS = 50
"""Fewer words say nothing about the language."""
SAMPLE = 1_000_000
"""Characters that are looked at, from all stories alike."""
_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Language:
    """What is known about the language of stories."""

    spaced: bool = True
    """Whether spaces separate words. Otherwise characters are counted in place of words."""
    english: bool = True

    @property
    def note(self) -> str | None:
        """One sentence on the figures that do not fit; None if all do."""
        if self.english:
            return None
        left_out = "the figures that are made for English are left out"
        if self.spaced:
            return f"These stories are not in English: {left_out}."
        return (
            "No spaces separate the words of these stories: characters are counted instead, in all figures, and "
            f"{left_out}."
        )


def language_of(texts: Sequence[str]) -> Language:
    """The language of stories."""
    every = max(1, sum(map(len, texts)) // SAMPLE)
    words = [word for text in texts[::every] for word in words_of(text[:SAMPLE])]
    unspaced = sum(map(bool, map(_UNSPACED.match, words)))
    if unspaced > MAX_UNSPACED * len(words):
        return Language(spaced=False, english=False)
    english = sum(word in ENGLISH_WORDS for word in words)
    return Language(english=len(words) < MIN_WORDS or english >= MIN_ENGLISH * len(words))
