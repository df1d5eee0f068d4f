"""Cleaning: certain damage is repaired, everything else stays as it was written.

The most common damage in story collections is UTF-8 that was once read as Windows-1252, which turns ’ into â€™. It is
repaired only where no correct text has the same characters: Ã— after a capital may end a Portuguese word, and
â€™ ends none.
"""

from __future__ import annotations

import re


def _windows_1252(byte: int) -> str:
    """The character that Windows-1252 reads from a byte; the five bytes without one are read as themselves."""
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


_BYTE_OF = {_windows_1252(byte): byte for byte in range(256)}
_TAIL = "[" + re.escape("".join(map(_windows_1252, range(0x80, 0xC0)))) + "]"  # any byte but the first of a character


def _damaged(text: str) -> str:
    """The text as it looks if its UTF-8 is read as Windows-1252."""
    return "".join(map(_windows_1252, text.encode("utf-8")))


# A quotation mark damaged twice: the two characters of its first two bytes, then any character of a tail byte.
_TWICE = _damaged("â€")
_TWICE_TAILS = "|".join(re.escape(_damaged(_windows_1252(byte))) for byte in range(0x80, 0xC0))

_DAMAGE = re.compile(
    f"(?P<twice>{_TWICE}(?:{_TWICE_TAILS}))"
    f"|(?P<once>â€{_TAIL}"  # quotation marks, dashes, the ellipsis
    "|â„¢|â‚¬"
    f"|ðŸ{_TAIL}{_TAIL}"  # emoji
    # é and the like. No word has a capital Ã between small letters, or with a sign and a small letter after it.
    f"|(?<=[a-zß-öø-ÿ])Ã{_TAIL}"
    "|Ã[¡-©¬®-±´¶¸¼-¿](?=[a-z])"
    "|Â[£°½¼¾©®])"
    f"|(?P<bare>{_TWICE}|â€)"  # ” without its last byte, which Windows-1252 does not have
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = ("\ufeff", "ï»¿")


def clean(text: str) -> tuple[str, bool]:
    """The text repaired, with LF line ends and no white space around it, and whether anything was repaired.

    Repaired are Windows-1252 damage, NUL characters (removed) and single surrogates (U+FFFD). Quotes and apostrophes
    stay as they are. Cleaning clean text changes nothing.
    """
    fixed = text.replace("\0", "") if "\0" in text else text
    if not fixed.isascii():
        fixed = _repair(fixed)
    repaired = fixed != text
    if "\r" in fixed:
        fixed = fixed.replace("\r\n", "\n").replace("\r", "\n")
    fixed = fixed.strip()
    while fixed.startswith(_BOM):
        fixed = fixed.removeprefix(_BOM[0]).removeprefix(_BOM[1]).lstrip()
    return fixed, repaired


def _repair(text: str) -> str:
    if _SURROGATE.search(text):  # joins two surrogates that are a pair
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    while "â" in text or "Ã" in text or "Â" in text or "ð" in text:
        fixed = _DAMAGE.sub(_undo, text)
        if fixed == text:
            break
        text = fixed
    return text


def _undo(match: re.Match[str]) -> str:
    if match["bare"]:
        return "”"
    once = match["once"] or _reread(match["twice"])
    return _reread(once) if once is not None else match[0]


def _reread(damaged: str) -> str:
    """The bytes that Windows-1252 was read from, read as UTF-8; unchanged if they are not UTF-8."""
    try:
        return bytes(_BYTE_OF[letter] for letter in damaged).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return damaged
