"""UTF-8 that was once read in another encoding, such as â€™ for ’: mended where no correct text has the same.

A single sign is often ambiguous: Ã” may be Ô, or a Portuguese word in capitals before a quotation mark. It is mended if
its neighbors allow nothing else, if it stands among other signs of damage, or if the whole story is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

_CAPITAL, _SMALL = "A-ZÀ-ÖØ-Þ", "a-zß-öø-ÿ"
_PUNCTUATION = (0x93, 0x94, 0x98, 0x99, 0x9C, 0x9D, 0xA6)  # last bytes of – — ‘ ’ “ ” …
_NON_ASCII = re.compile("[^\x00-\x7f]")


class _Misreading:
    """What one encoding makes of UTF-8."""

    def __init__(self, codec: str) -> None:
        letters = [_character(byte, codec) for byte in range(256)]
        self.bytes = {letter: byte for byte, letter in enumerate(letters)}
        if codec == "cp1252":  # whose gaps, and in Latin-1 all of its bytes, are control characters
            self.bytes |= {chr(byte): byte for byte in range(0x80, 0x100)}
        self.tail = self._any_of(0x80, 0xC0)
        """Any byte of a character but its first."""
        self.long = f"(?:{self._any_of(0xE0, 0xF0)}{self.tail}{{2}}|{self._any_of(0xF0, 0xF5)}{self.tail}{{3}})"
        self.short = self._any_of(0xC2, 0xE0) + self.tail
        self.run = re.compile(f"(?:{self.long}|{self.short})+")
        quote, accent = re.escape(letters[0xE2] + letters[0x80]), re.escape(letters[0xC3])
        ends = re.escape("".join(letters[byte] for byte in _PUNCTUATION))
        beside = f"{accent}(?!π){self.tail}"  # √π is mathematics
        emoji = re.escape(letters[0xF0] + letters[0x9F]) + self.tail * 2
        spanish = re.escape(letters[0xC2]) + "[" + re.escape(letters[0xA1] + letters[0xBF]) + f"](?=[A-Za-z{accent}])"
        words = f"|(?:{self.short}){{4}}|{self.long}{{3}}"
        if codec in _DOS:  # not words of box drawing, but box drawing that was itself read so
            words = f"|{re.escape(letters[0xE2] + letters[0x94])}{self.tail}"
        signs = [letters[0xE2] + letters[0x80], letters[0xF0] + letters[0x9F]] + ["√"] * (codec == "mac_roman")
        twice = "|".join(re.escape("".join(letters[byte] for byte in sign.encode())) for sign in signs)
        self.sure = re.compile(f"{quote}[{ends}]|{emoji}|{spanish}|(?<=[a-z]){beside}|{beside}(?=[a-z])|{twice}{words}")
        """What no correct text has."""
        self.left = quote + self.tail + (f"|{beside}" if not letters[0xC3].isalpha() or codec == "cp1250" else "")
        """What few correct texts have."""

    def undo(self, text: str) -> str:
        """The whole text reread, if it has a certain sign of damage, and every sign in it may be one."""
        if not self.sure.search(text) or _NON_ASCII.search(self.run.sub("", text)):
            return text
        return self.run.sub(lambda run: self._reread(run[0]), text)

    def undo_certain(self, text: str) -> str:
        """The text with those signs reread that are certain."""
        if not self.sure.search(text):
            return text
        return self.run.sub(lambda run: self._reread(run[0]) if self._is_sure(run) else run[0], text)

    def _is_sure(self, run: re.Match[str]) -> bool:
        return self.sure.search(run.string, run.start(), run.end() + 1) is not None  # it looks one character ahead

    def _reread(self, damaged: str) -> str:
        """The bytes that the text was read from, read as UTF-8; unchanged if they are not UTF-8."""
        try:
            return bytes(self.bytes[letter] for letter in damaged).decode("utf-8")
        except UnicodeDecodeError:
            return damaged

    def _any_of(self, first: int, end: int) -> str:
        return "[" + re.escape("".join(letter for letter, byte in self.bytes.items() if first <= byte < end)) + "]"


def _character(byte: int, codec: str) -> str:
    """The character that an encoding reads from a byte; one without a character is read as itself."""
    try:
        return bytes([byte]).decode(codec)
    except UnicodeDecodeError:
        return chr(byte)


_DOS = ("cp437", "cp850")
"""Two encodings that have many signs of damage in common, which mean other letters."""
_LETTERS = "ƒˆ‰ŠŒŽ˜šœžŸ€¡¢£¤¥¦§¨¬¯±µ¶¸¼½¾¿"  # tails that follow no capital letter in any text
# Before anything else is tried: the first letter of damage, and a second one that is not ASCII.
_HINT = re.compile("[Â-ôĂ‚√вГВРСрβΓΞΒΠÔ├≡–đ\uf8ff\xad][^\x00-\x7f]|π\x9f")
# ” without its last byte, which Windows-1252 does not have. After a letter, â€? may also be ”?
_LOST_TAIL = re.compile("â€(?:\ufffd|Â(?![^\x00-\x7f])|(?<=[.!?,…]â€)\\?|(?![?\x80-\xff€-™śťžź]))")
_BOXES = re.compile("[┬├─Γ]")  # the first letters of damage in DOS encodings
_UTF7 = re.compile(r"\+(?:IB|AC|A[KLMNOP])[A-Za-z0-9+/]{1,8}-")


@cache
def _misreadings() -> list[_Misreading]:
    """The encodings that UTF-8 was read in, the most common first. Made once a story needs them, which takes 0.1 s."""
    windows = _Misreading("cp1252")
    windows.sure = re.compile(
        "|".join(
            [
                f"â€{windows.tail}|â„¢|â‚¬|ï¿½|(?<=.)ï»¿|ðŸ{windows.tail}{{2}}",  # quotation marks, the euro, emoji
                "[Â-ô][\x80-\x84\x86-\x9f]",  # control characters, but for \x85, which may end a line
                f"{windows.long}{{2}}|(?:{windows.short}){{2}}[Â-ß][{_LETTERS}ª®°²³´¹º]",  # words in another alphabet
                f"Ã[{_LETTERS}]|(?<![{_CAPITAL}])Ã(?:[™©ª®°²³´¹º·•†‡\xad]|\xa0(?!»))",
                "(?<=[0-9])Ã—(?=[0-9])",
                f"(?<=[{_SMALL}])(?:[Â-Å]{windows.tail}|[Æ-ÖØ-Þ][{_LETTERS}])",
                "Ã[¡-ª¬®-º¼-¿](?=[a-z])",
                f"(?<![{_CAPITAL}])(?:Ã[…–‘’“”„‚‹›«»\x85]|[Ä-ÖØ-Þ][{_LETTERS}])(?=[a-z])",
                f"(?<![{_CAPITAL}])Â[¡-ª¬®-º¼-¿]|(?<=[a-z.,!?;:])Â[\xa0«»]",
            ]
        )
    )
    return [windows, *map(_Misreading, ("mac_roman", "cp1250", "cp1251", "cp1253", *_DOS))]


@cache
def _left() -> re.Pattern[str]:
    """What looks like damage, in a text that was mended."""
    return re.compile(
        "|".join(
            [
                f"â€|Ã[{_LETTERS}]|(?<![{_CAPITAL}])Ã[©ª®°²³´¹º\xa0]|(?<=[a-zß-öø-ÿ])[ÂÃĂ]",
                f"(?<![{_CAPITAL}])[ÂÃ][\xa0 ]+(?=[a-z])|â(?=[A-Z])|(?<=[.!?,])â(?![a-zß-ÿ])",
                *(other.left for other in _misreadings()[1:]),
                "[A-Za-z][ВГРСΒΓΞΠ][^\x00-\x7f]|Г[‰‚ƒ„†‡€©®±°§¤]|Ä‚",
                "(?:[ВГРСΒΞΓ][^\x00-\x7f\\w]){2}|[┬├┼─╨╤╬][À-ÿ⌐½¼«»¡¢£¥ªº]|Ĺ[^\x00-\x7f\\w]",
                "[A-Za-z.,!?]鈥|窶[^\x00-\x7f]?[A-Za-z]",  # UTF-8 read as GBK or Shift-JIS, which loses a byte
            ]
        )
    )


def _restore_lost_tails(text: str) -> str:
    return _LOST_TAIL.sub("”", text) if "â€" in text else text


@cache
def _repairs() -> list[Callable[[str], str]]:
    """What is tried, in order."""
    *others, first, second = _misreadings()
    whole = [*(each.undo for each in others), _agreed(first.undo, second.undo)]
    certain = [*(each.undo_certain for each in others), _agreed(first.undo_certain, second.undo_certain)]
    return [*whole, *certain, _restore_lost_tails]


def _agreed(first: Callable[[str], str], second: Callable[[str], str]) -> Callable[[str], str]:
    """Two repairs as one: where they differ, that which leaves less damage; where that is equal, none."""

    def undo(text: str) -> str:
        one, other = first(text), second(text)
        if one in (text, other):
            return other
        left, right = (len(_BOXES.findall(each)) for each in (one, other))
        if other == text or left < right:
            return one
        return other if right < left else text

    return undo


def undo_misreading(text: str) -> str:
    """The text with what is certainly damage undone, also if it was done several times."""
    while _HINT.search(text):
        fixed = next((fixed for undo in _repairs() if (fixed := undo(text)) != text), text)
        if fixed == text:
            break
        text = fixed
    return text


def looks_misread(text: str) -> bool:
    """Whether a text that was mended still has characters that look like damage."""
    if "+" in text and _UTF7.search(text):
        return True
    return not text.isascii() and _left().search(text) is not None
