from __future__ import annotations

import gzip
import io
import json
import lzma
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT, DataConfig
from talewright.data.sources import text as source_text
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import recognize
from talewright.errors import UserError
from tests.data.cases import as_bytes, packed, tales

DICTIONARY = zstandard.train_dictionary(1000, [tale.encode() for tale in tales(300)])
KINDS = ("txt", "jsonl", "json", "csv", "parquet")
line = st.text(alphabet=st.sampled_from("ab é😀\u2028\x0b,\"\\{}[]:'"), max_size=8)


def read(name: str, data: bytes, piece: int = 1 << 20, **settings) -> list[str]:
    """The stories of a file that arrives in chunks of `piece` bytes."""
    with mock.patch.object(source_text, "CHUNK_BYTES", piece):
        return list(read_file(name, lambda: io.BytesIO(data), DataConfig(**settings)))


def read_file(name: str, open_file: Callable[[], Any], config: DataConfig) -> Iterator[str]:
    return read_records(name, open_file, recognize(name, open_file, config).form)


def stripped(records: list[str]) -> list[str]:
    return [record.strip() for record in records]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_stories_that_were_written(kind: str, packing: str):
    stories = tales(300)
    data = packed(packing, as_bytes(kind, stories, "story"))
    assert stripped(read(f"some.{kind}{packing}", data, text_key="story")) == stories


@pytest.mark.parametrize("kind", KINDS[:4])
@given(
    stories=st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r<\0")), max_size=5
    ),
    piece=st.integers(1, 9),
)
def test_pieces_may_end_anywhere(kind: str, stories: list[str], piece: int):
    found = stripped(read(f"some.{kind}", as_bytes(kind, stories), piece))
    if kind == "txt":  # which ends where its text does
        assert [story for story in found if story] == [story.strip() for story in stories if story.strip()]
    else:
        assert found == [story.strip() for story in stories]


def naive_stories(text: str, separator: str) -> list[str]:
    """Stories of a text, line by line."""
    stories, story = [], []
    for each in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        bare = each.rstrip(" \t")
        if separator == EOT and bare.endswith(EOT):
            stories.append([*story, bare[: -len(EOT)]])
            story = []
        elif bare.lstrip(" \t") == separator:
            stories.append(story)
            story = []
        else:
            story.append(each)
    return [found for some in (*stories, story) if (found := "\n".join(some).strip())]


@given(
    lines=st.lists(
        st.sampled_from(
            ["Once.", "", " ", "***", " *** ", "a***", "*** b", EOT, f"end.{EOT}", f"{EOT} ", f"a {EOT} b", "é 😀"]
        )
    ),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
    separator=st.sampled_from([EOT, "***"]),
    piece=st.integers(1, 30),
)
def test_text_is_cut_at_separator_lines_and_nowhere_else(lines, end, last, separator, piece):
    text = end.join(lines) + (end if last else "")
    text = f"first\n{separator}\n{text}"  # a separator that no line holds alone is read within lines
    found = [story for story in stripped(read("a.txt", text.encode(), piece, separator=separator)) if story]
    assert found == naive_stories(text, separator)


@given(
    value=st.lists(
        st.text()
        | st.fixed_dictionaries({"text": st.text() | st.none(), "n": st.integers() | st.floats(allow_nan=False)})
    ),
    piece=st.integers(1, 9),
    wrapped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_json_lists_are_read_while_they_come(value, piece, wrapped, indent):
    whole = {"about": {"n": [1]}, "stories": value, "count": 12} if wrapped else value
    text = json.dumps(whole, indent=indent)
    assert read("a.json", text.encode(), piece, text_key="stories.text" if wrapped else "text") == [
        (item["text"] if isinstance(item, dict) else item) or "" for item in value
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_story():
    for kind in KINDS[:4]:
        assert stripped(read(f"a.{kind}", b"\xef\xbb\xbf" + as_bytes(kind, ["Once."])))[0] == "Once."


def test_one_line_of_100_mb_is_one_story():
    size = 100_000_000
    found = read("a.txt", b"word " * (size // 5), separator=EOT)
    assert len(found) == 1
    assert len(found[0]) == size


NO_SEPARATOR = "in 8 million characters; name what separates its stories with --separator, or read it as plain text"
LONG_LINE = "a line of more than 8 million characters, which is not a story$"


@pytest.mark.parametrize(
    ("name", "line", "settings", "message"),
    [
        ("a.txt", b"A line.\n", {"separator": EOT}, rf"no line {re.escape(EOT)} {NO_SEPARATOR}"),
        ("a.txt", b"A line.\n", {"format": "blank-lines"}, f"no blank line {NO_SEPARATOR}"),
        ("a.txt", b"A word. ", {"format": "lines"}, LONG_LINE),
        ("a.jsonl", b"A word. ", {}, LONG_LINE),
    ],
)
def test_what_has_no_end_is_refused_before_it_fills_the_memory(name: str, line: bytes, settings: Any, message: str):
    class Endless:
        pieces = 0

        def read(self, size: int = -1, /) -> bytes:
            self.pieces += 1
            return line * (size // len(line))

        def close(self) -> None:
            pass

    endless = Endless()
    with (
        mock.patch.object(source_text, "LONGEST_STORY", 8 << 20),
        pytest.raises(UserError, match=f"^{name} has {message}"),
    ):
        list(read_file(name, lambda: endless, DataConfig(**settings)))
    assert endless.pieces < 16  # four of them to recognize it


REFUSED = {
    "not UTF-8": (
        "a.txt",
        "Él dijo".encode("cp1252"),
        "byte 0xC9 at offset 0. Line 1 has it in ",
    ),
    "not UTF-8, later": ("a.jsonl", b'"caf\xc3\xa9"\n"\xff"', "a.jsonl is not UTF-8: byte 0xFF at offset 9."),
    "cut within a character": ("a.txt", "Once é".encode()[:-1], "a.txt is not UTF-8: byte 0xC3 at offset 5."),
    "UTF-16": ("a.txt", "Once".encode("utf-16"), "iconv -f utf-16 -t utf-8 < a.txt > a-utf8.txt"),
    "no key": ("stories.jsonl", b'{"story": "x", "note": "y"}', 'line 1 has no "text"; it has "story", "note"'),
    "no key later": ("a.jsonl", b'{"text": "x"}\n\n{"id": 1}', 'a.jsonl line 3 has no "text"; it has "id".'),
    "no column": (
        "a.csv",
        b"story,note\nx,y\n",
        'line 1 has no "text"; it has "story", "note". Name the right one with --text-key',
    ),
    "no Parquet column": (
        "a.parquet",
        as_bytes("parquet", [], "story"),
        'a.parquet has no "text"; it has "id", "story"',
    ),
    "numbers": (
        "a.jsonl",
        b'{"text": 5}',
        'line 1 "text" holds a number, not text; write each story as one text',
    ),
    "a list": ("a.json", b'[{"text": ["x"]}]', 'a.json item 1 "text" holds a list, not text'),
    "no JSON": ("a.jsonl", b'{"text": "x"}\n{"text": ', "a.jsonl line 2 is not JSON: "),
    "deep JSON": ("a.jsonl", b"[" * 100_000, "a.jsonl line 1 is not JSON as it should be: it is nested too deep"),
    "deep list": ("a.json", b"[" * 100_000, "a.json line 1 is not JSON as it should be: it is nested too deep"),
    "cut list": ("a.json", b'["one", "two', "a.json line 1 is not JSON as it should be: Unterminated string"),
    "no comma": ("a.json", b'["one" "two"]', "a list has neither , nor ]"),
    "two lists": (
        "a.json",
        b'{"a": ["x"], "b": ["y"]}',
        'item 1 has no "text"; it has "a", "b". Name the right one with --text-key',
    ),
    "goes on": (
        "a.json",
        b'["x"]\n["y"]',
        "a.json line 2 is not JSON as it should be: it holds one list after another",
    ),
    "no list": (
        "a.json",
        b"17",
        "a.json line 1 holds a number, not text; write each story as a text or an object with a",
    ),
    "no Parquet": ("a.parquet", b"PAR1 no", "a.parquet cannot be read as Parquet: "),
    "no gzip": ("a.txt.gz", b"Once upon a time", "a.txt.gz is not compressed, or is damaged at the beginning"),
    "cut gzip": ("a.txt.gz", gzip.compress(b"Once upon a time" * 99)[:-9], "a.txt.gz is damaged or cut short ("),
    "no zstd": ("a.txt.zst", b"Once upon a time", "a.txt.zst is not compressed, or is damaged at the beginning"),
    "cut zstd": ("a.txt.zst", packed(".zst", as_bytes("txt", tales(50)))[:-5], "a.txt.zst is damaged or cut short ("),
    "zstd dictionary": (
        "a.txt.zst",
        zstandard.ZstdCompressor(dict_data=DICTIONARY).compress(b"Once"),
        "a.txt.zst was compressed with a dictionary; decompress it with zstd -d -D DICTIONARY",
    ),
    "compress": ("a.txt.Z", b"\x1f\x9d\x90O\xdc", "a.txt.Z is compressed by compress; decompress it"),
    "old lzma": (
        "a.txt.lzma",
        lzma.compress(b"Once", lzma.FORMAT_ALONE),
        "a.txt.lzma is compressed by LZMA; decompress it, and name the new file: xz -dc a.txt.lzma > NEW_FILE",
    ),
    "object of texts": (
        "a.json",
        json.dumps({str(n): tale for n, tale in enumerate(tales(20))}).encode(),
        'a.json: its object holds 20 texts; write them as a list: ["...", "..."]',
    ),
    "endless line": ("a.csv", b'text\n"' + b"x\n" * 3000, "a.csv line"),
    "unknown": ("a.bin", b"\1\2\3\4\0\0", "a.bin has an unknown format and is not text; .txt, .csv, .tsv, .json,"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_name_and_place(case: str):
    name, data, message = REFUSED[case]
    longest = 2000 if case == "endless line" else source_text.LONGEST_STORY
    with mock.patch.object(source_text, "LONGEST_STORY", longest), pytest.raises(UserError) as error:
        read(name, data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_in_a_parquet_column_are_refused():
    with pytest.raises(
        UserError, match=r'a.parquet column "id" holds int64, not text; name the right one with --text-key'
    ):
        read("a.parquet", as_bytes("parquet", ["x"]), text_key="id")


def test_values_that_are_missing_are_no_stories():
    assert read("a.jsonl", b'{"text": null}\n"x"') == ["", "x"]
    assert read("a.csv", b"id,text\n1,\n2,x\n\n") == ["", "x"]


def test_files_of_nothing_hold_no_stories():
    for kind in KINDS[:4]:
        assert read(f"a.{kind}", b"") == []
    assert read("a.parquet", as_bytes("parquet", [])) == []


def test_several_packed_files_in_a_row_are_one():
    for packing in (".gz", ".zst"):
        data = packed(packing, b"One.\n<|endoftext|>\n") + packed(packing, b"Two.\n")
        assert stripped(read(f"a.txt{packing}", data)) == ["One.", "Two."]


@given(st.binary(max_size=200), st.sampled_from([kind + packing for kind in KINDS for packing in ("", ".gz", ".zst")]))
def test_no_bytes_crash_a_reader(data: bytes, ending: str):
    def records() -> Iterator[str]:
        try:
            yield from read(f"a.{ending}", data)
        except UserError:
            return

    assert all(isinstance(record, str) for record in records())
