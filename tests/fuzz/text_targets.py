"""The readers of stories, prompts and answers as functions of bytes, with what each must give back."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import unicodedata
from collections.abc import Callable
from typing import Any
from unittest import mock

import zstandard

from talewright.cli.common import read_prompts
from talewright.config import DataConfig
from talewright.data.preparation.clean import clean
from talewright.data.preparation.misread import looks_misread, undo_misreading
from talewright.data.sources import text as source_text
from talewright.data.sources.compression import damage_errors, decompress
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import recognize
from talewright.errors import UserError
from talewright.evaluate.judge.answers import parse_grade
from tests.data.cases import tales
from tests.data.preparation.test_misread import CODECS, WORDS, misread
from tests.fuzz.target import Target, place

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
LAYERS = [[*some] for count in range(1, 4) for some in itertools.product(list(PACK)[1:], repeat=count)]
QUOTED: list[dict[str, Any]] = [
    {"quoting": csv.QUOTE_MINIMAL},
    {"quoting": csv.QUOTE_ALL},
    {"quoting": csv.QUOTE_NONNUMERIC},
    {"quoting": csv.QUOTE_ALL, "quotechar": "'"},
    {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
]
DIALECTS = [
    {"delimiter": delimiter, "lineterminator": end, **quoted}
    for quoted in QUOTED
    for delimiter in ",;\t|"
    for end in ("\n", "\r\n")
]
BETWEEN = "\x1e"
"""Between the stories of an input."""
ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252", "cp1251", "gb18030", "cp932", "utf-8")


def stories_of(name: str, data: bytes) -> list[str]:
    """The stories of a file, in chunks of a few bytes, cleaned; without empty ones."""
    with mock.patch.object(source_text, "LONGEST_STORY", 1 << 16), mock.patch.object(source_text, "CHUNK_BYTES", 64):
        form = recognize(name, lambda: io.BytesIO(data), DataConfig()).form
        return cleaned(read_records(name, lambda: io.BytesIO(data), form))


def cleaned(stories: Any) -> list[str]:
    return [text for story in stories if (text := clean(story.replace("\r\n", "\n").replace("\r", "\n"))[0])]


def read_dialect(data: bytes) -> None:
    """Rows as Python's csv module writes them, in a dialect that the first two bytes choose, are read back."""
    dialect, columns = DIALECTS[data[0] % len(DIALECTS)] if data else DIALECTS[0], 1 + sum(data[1:2]) % 3
    # Python's csv module leaves a single CR without quotation marks, and reads it as the end of a row.
    stories = data[2:].decode("utf-8", "ignore").replace("\r", " ").split(BETWEEN)
    if "escapechar" in dialect:  # without a quotation mark, nothing tells that two backslashes mean one
        stories = [story.replace("\\", "/") for story in stories]
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    writer.writerow([["text"], ["id", "text"], ["id", "text", "n"]][columns - 1])
    for number, story in enumerate(stories):
        writer.writerow([[story], [number, story], [number, story, number]][columns - 1])
    assert stories_of("a.csv", text.getvalue().encode()) == cleaned(stories)


def _dialects() -> list[bytes]:
    stories = [*tales(3), 'She said "hi", and left.', "two\nlines; here", "one | two\tthree", "It's 'a' dog."]
    text = BETWEEN.join(stories).encode()
    return [bytes([number, columns]) + text for number in range(len(DIALECTS)) for columns in range(3)]


def read_json(data: bytes) -> None:
    """A .json file gives what Python's json module gives of a list, or of an object with stories under `text`."""
    found = stories_of("a.json", data)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        whole = json.loads(text, strict=False, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        return  # one value after another, or a key twice
    if isinstance(whole, dict):
        whole = whole.get("text")
        whole = [*whole.values()] if isinstance(whole, dict) else [whole] if isinstance(whole, str) else whole
    if isinstance(whole, list):
        whole = [item.get("text", 0) if isinstance(item, dict) else item for item in whole]
        if all(item is None or isinstance(item, str) for item in whole):
            assert found == cleaned(item or "" for item in whole)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _json() -> list[bytes]:
    stories = tales(3)
    rows = [{"id": n, "text": story} for n, story in enumerate(stories)]
    whole: list[Any] = [rows, stories, {"text": stories}, {"data": rows}, rows[0], {"text": dict(enumerate(stories))}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return [lines, *(json.dumps(value, indent=indent).encode() for value in whole for indent in (None, 1))]


def read_packed(data: bytes) -> None:
    """Bytes in the layers that the first byte chooses come back; unpacked as they stand, they are the same twice."""
    text = b"Once " + data[1:]
    layered = text
    for layer in LAYERS[data[0] % len(LAYERS)] if data else ():
        layered = PACK[layer](layered)
    assert unpacked(layered, 100) == text
    once = unpacked(data[1:], 1 << 20)
    assert unpacked(data[1:], 7) == once


def unpacked(data: bytes, piece: int) -> bytes:
    with damage_errors("a.txt"):
        stream = decompress(io.BytesIO(data), "a.txt")
        return b"".join(iter(lambda: stream.read(piece), b""))


def _packed() -> list[bytes]:
    found = [bytes([number]) + b"\n".join(map(str.encode, tales(2))) for number in range(len(LAYERS))]
    return [*found, *(bytes([1]) + pack(b"Once upon a time.") for pack in PACK.values())]


def read_encoded(data: bytes) -> None:
    """A text in the encoding that the first byte chooses is refused or read rightly, without wide ones' NULs."""
    encoding = ENCODINGS[data[0] % len(ENCODINGS)] if data else "utf-8"
    text = "".join(letter for letter in data[1:].decode("utf-8", "ignore") if not _is_odd(letter))
    text = "Once upon a time, there was a cat.\n" + text
    found = stories_of("a.txt", text.encode(encoding, "ignore"))
    if encoding.startswith("utf"):
        assert "".join("".join(found).split()) == "".join(cleaned([text])[0].split())


def _is_odd(letter: str) -> bool:
    return unicodedata.category(letter)[0] == "C" and letter != "\n"


def _encoded() -> list[bytes]:
    texts = [
        "Il",
        "était",
        "une",
        "fois",
        "“une”",
        "fille.",
        "Жил-был",
        "кот.",
        "从前有一只小猫。",
        "むかしむかし",
        "😀",
    ]
    return [bytes([number]) + "\n".join(texts * 3).encode() for number in range(len(ENCODINGS))]


def read_misread(data: bytes) -> None:
    """Any text is mended once for all. Words that were read in another encoding are mended, or look damaged."""
    text = data.decode("utf-8", "ignore")
    mended = undo_misreading(text)
    assert undo_misreading(mended) == mended
    looks_misread(mended)
    words = " ".join(WORDS[byte % len(WORDS)] for byte in data[1:20])
    mended = undo_misreading(misread(words, CODECS[sum(data[:1]) % len(CODECS)], 1 + sum(data[:1]) // 100))
    assert mended == words or looks_misread(mended)
    assert (undo_misreading(words), looks_misread(words)) == (words, False)


def read_answer(data: bytes) -> None:
    """A judge's answer, whose grades stand in it."""
    text = data.decode("utf-8", "replace")
    try:
        grade = parse_grade(text)
    except ValueError as error:
        raise UserError(str(error)) from None
    assert parse_grade(json.dumps(grade)) == grade
    digits = "".join(str(unicodedata.decimal(letter, letter)) for letter in text).lower()
    for number in set(grade.values()) - {grade["age"]}:
        assert str(number) in digits or _NUMBERS[number] in digits, (number, text)


_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def _answers() -> list[bytes]:
    grade = {"grammar": 7, "creativity": "5/10", "consistency": "seven", "plot": 6, "age": "C: 6-7"}
    lines = "\n".join(f"- **{name.title()} score:** {value}" for name, value in grade.items())
    table = "\n".join(f"| {name} | {value} |" for name, value in grade.items())
    scored = {name: {"why": "It is so.", "score": value} for name, value in grade.items()}
    texts = [json.dumps(grade), json.dumps({"grades": scored}), lines, table, f"<think>{lines}</think>{table}"]
    return [text.encode() for text in texts]


def read_prompt_file(data: bytes) -> None:
    """A file of prompts; a file of what was read is read as the same."""
    path = place() / "prompts.txt"
    path.write_bytes(data)
    found = read_prompts(str(path))
    path.write_text("\n".join(found), encoding="utf-8", newline="")
    assert read_prompts(str(path)) == found
    assert found
    assert all(prompt.strip() and not {*"\r\n\0"} & {*prompt} for prompt in found)


TEXT_TARGETS: dict[str, Target] = {
    "dialect": Target(read_dialect, _dialects),
    "json": Target(read_json, _json),
    "packed": Target(read_packed, _packed),
    "encoding": Target(read_encoded, lambda: _encoded()[-1:]),
    "misread": Target(read_misread, lambda: [bytes([number, *range(9)]) for number in range(0, 256, 32)]),
    "answer": Target(read_answer, _answers),
    "prompts": Target(read_prompt_file, lambda: ["A cat\n“Hi,”\r\n\n Tom".encode(), b"\xef\xbb\xbfA dog"]),
}
