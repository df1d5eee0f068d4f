"""Cleaning: certain damage is repaired, everything else stays as it was written.

The most common damage in story collections is UTF-8 that was once read in another encoding, which turns ’ into â€™.
"""

from __future__ import annotations

import re

from talewright.data.preparation.misread import undo_misreading

CLEANING = 2
"""Counts the changes of what a story becomes, so that a corpus is not taken for one that was cleaned in another way."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = ("\ufeff", "ï»¿")


def clean(text: str) -> tuple[str, bool]:
    """The text repaired, with LF line ends and no white space around it, and whether anything was repaired.

    Repaired are misread UTF-8, NUL characters (removed) and single surrogates (U+FFFD). Quotes and apostrophes
    stay as they are. Cleaning clean text changes nothing.
    """
    text = _without_marks(text)
    fixed = text.replace("\0", "") if "\0" in text else text
    if not fixed.isascii():
        fixed = _repair(fixed)
    repaired = fixed != text
    if "\r" in fixed:
        fixed = fixed.replace("\r\n", "\n").replace("\r", "\n")
    return (_without_marks(fixed) if repaired else fixed), repaired


def _repair(text: str) -> str:
    if _SURROGATE.search(text):  # joins two surrogates that are a pair
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return undo_misreading(text)


def _without_marks(text: str) -> str:
    """The text without white space around it, or byte-order marks before it."""
    text = text.strip()
    while text.startswith(_BOM):
        text = text.removeprefix(_BOM[0]).removeprefix(_BOM[1]).lstrip()
    return text
