"""Cleaning: what is damaged beyond doubt is mended, everything else stays as it was written.

The commonest damage of story collections is UTF-8 that was once read as Windows-1252, which turns ’ into â€™. It is
mended only where no correct text has the same characters: Ã— after a capital may be the end of a Portuguese word, â€™
is the end of nothing.
"""

from __future__ import annotations

import re


def _letter(byte: int) -> str:
    """What Windows-1252 makes of a byte; the five that it leaves out stand for themselves."""
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


_BYTE_OF = {_letter(byte): byte for byte in range(256)}
_TAIL = "[" + re.escape("".join(_letter(byte) for byte in range(0x80, 0xC0))) + "]"  # any byte but a sequence's first


def _damaged(text: str) -> str:
    """The text as it looks when its UTF-8 is read as Windows-1252."""
    return "".join(map(_letter, text.encode("utf-8")))


# A quotation mark damaged twice: the two letters of its first two bytes, then any letter a tail byte gives.
_TWICE = _damaged("â€")
_TWICE_TAILS = "|".join(re.escape(_damaged(_letter(byte))) for byte in range(0x80, 0xC0))

_DAMAGE = re.compile(
    f"(?P<twice>{_TWICE}(?:{_TWICE_TAILS}))"
    f"|(?P<once>â€{_TAIL}"  # quotation marks, dashes, the ellipsis
    "|â„¢|â‚¬"
    f"|ðŸ{_TAIL}{_TAIL}"  # emoji
    # é and its like. A capital Ã between small letters, or with a sign and a small letter after it, is no word's.
    f"|(?<=[a-zß-öø-ÿ])Ã{_TAIL}"
    "|Ã[¡-©¬®-±´¶¸¼-¿](?=[a-z])"
    "|Â[£°½¼¾©®])"
    f"|(?P<bare>{_TWICE}|â€)"  # ” whose last byte, which Windows-1252 does not have, was dropped
)
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_BOM = ("\ufeff", "ï»¿")


def clean(text: str) -> tuple[str, bool]:
    """The text mended, with LF line ends and nothing blank around it, and whether damage was mended.

    Mended are Windows-1252 damage, NUL characters (dropped) and half surrogate pairs (U+FFFD). Quotes and apostrophes
    stay as they are. Cleaning what is clean changes nothing.
    """
    mended = text.replace("\0", "") if "\0" in text else text
    if not mended.isascii():
        mended = _mend(mended)
    repaired = mended != text
    if "\r" in mended:
        mended = mended.replace("\r\n", "\n").replace("\r", "\n")
    mended = mended.strip()
    while mended.startswith(_BOM):
        mended = mended.removeprefix(_BOM[0]).removeprefix(_BOM[1]).lstrip()
    return mended, repaired


def _mend(text: str) -> str:
    if _HALF_PAIR.search(text):
        text = text.encode("utf-16", "surrogatepass").decode(
            "utf-16", "replace"
        )  # joins two halves that belong together
    while "â" in text or "Ã" in text or "Â" in text or "ð" in text:
        mended = _DAMAGE.sub(_undo, text)
        if mended == text:
            break
        text = mended
    return text


def _undo(found: re.Match[str]) -> str:
    if found["bare"]:
        return "”"
    once = found["once"] or _read_again(found["twice"])
    return _read_again(once) if once is not None else found[0]


def _read_again(damaged: str) -> str:
    """The bytes that Windows-1252 was made of, read as UTF-8; as it was where they are none."""
    try:
        return bytes(_BYTE_OF[letter] for letter in damaged).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return damaged
