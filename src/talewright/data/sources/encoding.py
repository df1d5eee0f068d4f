"""Files that are not UTF-8: what they seem to be, and a command that converts them."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from talewright.data.sources.compression import ByteStream
from talewright.errors import UserError
from talewright.files import shell_word

_MARKS = {  # the longer ones first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WIDE = ("utf-32le", "utf-32be", "utf-16le", "utf-16be")
_EXAMINED = 1 << 16  # bytes
_LATIN = r"a-zß-öø-ÿA-ZÀ-ÖØ-ÞœŒ“”‘’–—…«»„‚¿¡°£€§"
_LETTERS = {  # codecs, and the characters beyond ASCII that texts in them mostly have; the first of equals is taken
    "cp1252": f"[{_LATIN}]",
    "mac_roman": f"[{_LATIN}]",
    "cp1250": f"[{_LATIN}ąćęłńśźżĄĆĘŁŃŚŹŻčďěňřšťůžČĎĚŇŘŠŤŮŽőűŐŰăășşţľĺŕđ]",
    "cp1251": "[а-яёіїєґА-ЯЁ«»“”„–—…]",
    "koi8_r": "[а-яёА-ЯЁ]",
    "cp866": "[а-яёА-ЯЁ]",
    "cp1253": "[α-ωάέήίόύώϊϋΐΰΑ-ΩΆΈΉΊΌΎΏ«»“”‘’–—…]",
    "cp850": f"[{_LATIN}]",
    "cp932": "[ぁ-んァ-ヶ一-龠、。「」ー！？　]",
    "euc_jp": "[ぁ-んァ-ヶ一-龠、。「」ー！？　]",
    "gb18030": "[一-龠，。“”‘’！？：；、《》　]",
    "big5": "[一-龠，。「」！？：；、　]",
    "cp949": "[가-힣“”‘’]",
}
_EUROPEAN = ("cp1252", "mac_roman", "cp1250", "cp850")
"""Encodings of alphabets that are mostly ASCII."""
_ASIAN = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_COMMON = dict.fromkeys(
    ("gb18030", "big5"), "[的一是了我不在人有他她它这這个個们們来來到时時大地上说說去小好看很天里裡从從前]"
) | dict.fromkeys(("cp932", "euc_jp"), "[ぁ-んァ-ヶ]")
"""Characters without which there is hardly a sentence in these encodings."""
_ICONV = {"mac_roman": "MACINTOSH", "koi8_r": "KOI8-R", "euc_jp": "EUC-JP"}
_UNPACK = {".gz": "gzip -dc", ".zst": "zstd -dc --long=31", ".bz2": "bzip2 -dc", ".xz": "xz -dc"}
_STARTS = dict(zip((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"), _UNPACK.values(), strict=True))
_BAD = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile(b"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_GOOD = re.compile("[^\x00-\x7f\udc80-\udcff]")


class Place(NamedTuple):
    """Where a file ceases to be UTF-8."""

    offset: int
    line: int
    before: bytes
    """Some bytes before it."""
    good: int
    """Characters beyond ASCII before it, about."""


class _Counted(NamedTuple):
    """What follows the first byte that is not UTF-8."""

    bad: int
    """Bytes that are not UTF-8."""
    good: int
    """Characters beyond ASCII that are."""
    sample: bytes
    ends_within: bool
    """Whether the only fault is that the file ends within a character."""


def refuse_wide(name: str, start: bytes) -> None:
    """Raise UserError if a file begins as UTF-16 or UTF-32, with a byte-order mark or without one."""
    encoding = next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), None)
    if encoding := encoding or _wide_without_mark(start[:_EXAMINED]):
        raise UserError(f"{name} is {encoding.upper()}, not UTF-8. Convert it: {conversion(name, encoding)}")


def not_utf8(name: str, place: Place, data: bytes, rest: ByteStream) -> UserError:
    """The error for a file that is not UTF-8 from the byte `data[0]` on. `rest` is what of the file is unread: it is
    read to count such bytes.
    """
    found = _count(data, rest)
    good, guess = found.good + place.good, _guess(found.sample)
    what = f"{name} is not UTF-8: byte 0x{data[0]:02X} at offset {place.offset:,}. Line {place.line:,} has it in "
    what += _excerpt(place.before, data)
    odd = place.before[-1:] if place.offset % 2 else b""
    if wide := _wide_by_line_ends(odd + found.sample):
        return UserError(f"{what}; it seems to be {wide.upper()}. Convert it: {conversion(name, wide)}")
    if len(_CONTROL.findall(found.sample)) > 0.01 * len(found.sample):
        return UserError(f"{what}; it has control bytes, so it is not plain text: save it as text")
    leave_out = f"leave them out: {conversion(name, 'utf-8', '-c ')}"
    if found.ends_within:
        return UserError(f"{what}, where the file ends within a character. Get the whole file, or {leave_out}")
    count = f"{found.bad:,} such byte{'s' * (found.bad > 1)}"
    if found.bad > (1 if guess in _ASIAN else 4) * good:  # some bytes of these are UTF-8 by chance
        return UserError(
            f"{what}; of {count}, it seems to be {guess}. Convert it, naming another encoding if that is wrong: "
            f"{conversion(name, guess)}"
        )
    return UserError(
        f"{what}; it has {count} beside {good:,} characters that are UTF-8. Correct them in an "
        f"editor{_meaning(data[0])}, or {leave_out}"
    )


def conversion(name: str, encoding: str, option: str = "") -> str:
    """A command for a shell that writes the file as UTF-8 beside it, decompressed."""
    path = PurePosixPath(Path(name).as_posix())
    unpack = []
    while path.suffix.lower() in _UNPACK:
        unpack.append(_UNPACK[path.suffix.lower()])
        path = path.with_suffix("")
    command = " | ".join(
        [*(unpack or _unpack_unnamed(name)), f"iconv {option}-f {_ICONV.get(encoding, encoding)} -t utf-8"]
    )
    first, *rest = command.split(" | ")
    command = " | ".join([f"{first} < {shell_word(name)}", *rest])
    return f"{command} > {shell_word(str(path.with_name(f'{path.stem}-utf8{path.suffix}')))}"


def _unpack_unnamed(name: str) -> list[str]:
    """What decompresses a file on this machine whose name does not say so."""
    try:
        with Path(name).open("rb") as file:
            head = file.read(6)
    except OSError:
        return []
    return [command for start, command in _STARTS.items() if head.startswith(start)]


def _wide_without_mark(start: bytes) -> str | None:
    """UTF-16 or UTF-32 if the bytes hold NULs where its spaces and line breaks have them, and are text in it."""
    nulls = start.count(b"\0")
    if nulls < 2 or len(start) < 8 or (nulls < 0.2 * len(start) and _is_text(start.replace(b"\0", b""), "utf-8")):
        return None
    start = start[: len(start) // 4 * 4]
    zeros = [start[n::4].count(b"\0") for n in range(4)]
    share = 0.9 * sum(zeros)
    for encoding, expected in zip(_WIDE, ((1, 2, 3), (0, 1, 2), (1, 3), (0, 2)), strict=True):
        wide = encoding.startswith("utf-32")
        enough = all(zeros[n] > 0.9 * len(start) / 4 for n in ((2, 3) if encoding == "utf-32le" else (0, 1)))
        if sum(zeros[n] for n in expected) >= share and (enough or not wide) and _is_text(start, encoding):
            return encoding
    return None


def _wide_by_line_ends(start: bytes) -> str | None:
    """UTF-16 of an alphabet beyond Latin: by its line ends and blanks, which it has in one order of bytes alone."""
    start, found = start[: len(start) // 2 * 2], []
    for encoding in _WIDE[2:]:
        signs = len(re.findall(r"[\n 0-9]", start.decode(encoding, "replace")))
        if signs > 0.005 * len(start) and _is_text(start, encoding):
            found.append(encoding)
    return found[0] if len(found) == 1 else None


def _is_text(data: bytes, encoding: str) -> bool:
    text = data.decode(encoding, "replace")
    odd = sum(count for letter, count in Counter(text).items() if _is_odd(letter))
    return odd <= 0.01 * len(text) + 1  # a cut pair of surrogates at the end


def _is_odd(letter: str) -> bool:
    """Whether texts hardly have the character: control characters, and those that are assigned to nothing."""
    return letter == "\ufffd" or (unicodedata.category(letter) in ("Cc", "Cn", "Co", "Cs") and letter not in "\t\n\r")


def _count(data: bytes, rest: ByteStream) -> _Counted:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    bad = good = 0
    sample = bytearray()
    for chunk in chain([data], iter(lambda: rest.read(1 << 20), b"")):
        text = decoder.decode(chunk)
        bad += len(_BAD.findall(text))
        good += len(_GOOD.findall(text))
        sample += chunk[: _EXAMINED - len(sample)]
    cut = len(decoder.decode(b"", final=True))
    return _Counted(bad + cut, good, bytes(sample), ends_within=cut > 0 and not bad)


def _guess(data: bytes) -> str:
    """The encoding in which the bytes give most of the letters that its texts have."""
    return max(_LETTERS, key=lambda codec: _score(data, codec))


def _score(data: bytes, codec: str) -> float:
    text = re.sub("[\x00-\x7f]", "", data.decode(codec, "replace"))
    # A capital after a small letter is hardly ever right. Of the same bytes, fewer characters say more.
    if codec in _COMMON and len(re.findall(_COMMON[codec], text)) < 0.05 * len(text):
        return -1.0
    letters = re.findall(r"[^\W\d_]", text)
    if codec in _EUROPEAN and len(letters) > len(re.findall(b"[a-zA-Z]", data)):
        return -1.0
    wrong = len(re.findall("[a-zа-яß-ÿ][À-ÞА-Я]", data.decode(codec, "replace")))
    return (len(re.findall(_LETTERS[codec], text)) - 2 * wrong - 3 * text.count("\ufffd")) / max(1, len(text))


def _meaning(byte: int) -> str:
    """What the byte is for programs of Windows."""
    letter = bytes([byte]).decode("cp1252", "replace")
    return f" (in Windows-1252, it is {letter})" if letter.isprintable() and letter != "\ufffd" else ""


def _excerpt(before: bytes, data: bytes) -> str:
    start, end = before[-20:].rpartition(b"\n")[2], data[1:20].partition(b"\n")[0]
    left, right = (each.decode("ascii", "replace").replace("\ufffd", "?") for each in (start, end))
    return f'"{left}[0x{data[0]:02X}]{right}"'
