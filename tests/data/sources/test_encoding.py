"""Files in other encodings than UTF-8: refused with their place, and a command that converts them as it says."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import DataConfig
from talewright.data import prepare
from talewright.data.sources import text as source_text
from talewright.data.sources.encoding import conversion, refuse_wide
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import recognize
from talewright.errors import UserError
from tests.data.cases import BPE, VOCAB, as_bytes, packed, tales

needs_iconv = pytest.mark.skipif(shutil.which("iconv") is None, reason="no iconv here")
LANGUAGES = {
    "cp1252": ["Il était une fois une fille “brave” à côté.", "Es war einmal ein Mädchen – schön, groß.", "¡Qué niño!"],
    "mac_roman": ["Il était une fois une fille “brave” à côté d’un château.", "Élan, où es-tu ? Là, près de la forêt…"],
    "cp1250": ["Był sobie kot, który miał żółtą piłkę.", "Ćma leciała nad łąką, gęś śpiewała.", "Źle się działo."],
    "cp1251": ["Жил-был кот. Он любил спать.", "Девочка пошла в лес, там жил медведь."],
    "koi8_r": ["Жил-был кот. Он любил спать.", "Девочка пошла в лес, там жил медведь."],
    "cp932": ["むかしむかし、あるところに猫がいました。", "それはとてもかわいいネコでした。"],
    "euc_jp": ["むかしむかし、あるところに猫がいました。", "それはとてもかわいいネコでした。"],
    "gb18030": ["从前有一只小猫，它很喜欢睡觉。", "有一天，小女孩去了森林里。"],
    "cp949": ["옛날 옛적에 고양이가 살았습니다.", "어느 날 소녀는 숲으로 갔습니다."],
}
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
ANY_LANGUAGE = [sentence for sentences in LANGUAGES.values() for sentence in sentences] + [
    "Once upon a time.",
    "😀 Hi!",
]


def refusal(name: str, data: bytes, piece: int = 1 << 20) -> str:
    """The message of the error that reading gives."""
    with mock.patch.object(source_text, "CHUNK_BYTES", piece), pytest.raises(UserError) as error:
        list(read_records(name, lambda: io.BytesIO(data), recognize(name, lambda: io.BytesIO(data), DataConfig()).form))
    return str(error.value)


def follow_advice(message: str, folder: Path) -> bytes:
    """Run the command at the end of a message in a folder; what it wrote there."""
    before = set(folder.iterdir())
    command = message[
        min(message.find(word) for word in ("iconv ", "gzip ", "zstd ", "bzip2 ", "xz -dc") if word in message) :
    ]
    subprocess.run(["sh", "-c", command], cwd=folder)
    (new,) = set(folder.iterdir()) - before
    return new.read_bytes()


@given(
    stories=st.lists(st.sampled_from(ANY_LANGUAGE), min_size=4, max_size=20),
    encoding=st.sampled_from(WIDE),
    kind=st.sampled_from(["txt", "csv", "jsonl"]),
    marked=st.booleans(),
    packing=st.sampled_from(["", ".gz"]),
)
def test_utf16_and_utf32_are_refused_with_and_without_a_mark(
    stories: list[str], encoding: str, kind: str, marked: bool, packing: str
):
    data = as_bytes(kind, stories).decode().encode(encoding)
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, "\ufeff".encode(encoding))
    name = encoding[:6] if marked else encoding[:6] + encoding[7:]
    message = refusal(f"a.{kind}{packing}", packed(packing, (mark if marked else b"") + data))
    assert f"a.{kind}{packing} is {name.upper()}, not UTF-8. Convert it: " in message
    assert f"iconv -f {name} -t utf-8" in message


@given(
    stories=st.lists(st.sampled_from(ANY_LANGUAGE), min_size=1, max_size=20),
    nulls=st.lists(st.integers(0, 10**6), max_size=30),
    padding=st.integers(0, 300),
)
def test_utf8_with_stray_nulls_is_not_taken_for_utf16(stories: list[str], nulls: list[int], padding: int):
    data = bytearray("\n".join(stories * 10).encode())
    for place in nulls:
        data[place % len(data) : 0] = b"\0"
    refuse_wide("a.txt", bytes(data).replace(b"\xff", b"") + bytes(padding))


@needs_iconv
@pytest.mark.parametrize("encoding", LANGUAGES)
@given(data=st.data())
def test_the_command_converts_a_file_in_another_encoding(
    encoding: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    sentences = data.draw(st.lists(st.sampled_from(LANGUAGES[encoding]), min_size=1, max_size=6))
    text = "".join(f"{sentence}\nThe cat sat on the mat.\n" for sentence in [*LANGUAGES[encoding], *sentences])
    folder = tmp_path_factory.mktemp("converted")
    (folder / "a.txt").write_bytes(text.encode(encoding))
    message = refusal("a.txt", text.encode(encoding))
    assert follow_advice(message, folder).decode() == text


NAMES = ["my tales.txt", "it's $HOME.txt", "-f.txt", "a;b.csv.gz", "Tale's.TXT.GZ", "é.tar.txt", "no ending"]


@needs_iconv
@pytest.mark.parametrize("name", NAMES)
def test_the_command_takes_any_name(name: str, tmp_path: Path):
    data = "naïve café".encode("utf-16")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    assert follow_advice(conversion(name, "utf-16"), tmp_path) == "naïve café".encode()


@needs_iconv
@given(
    before=st.text("ab é😀\n", max_size=50),
    bad=st.sampled_from([b"\xff", b"\x92", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80", b"\xc3(", b"\xe2\x80"]),
    after=st.text("ab é😀\n", max_size=50),
    piece=st.integers(1, 9),
)
def test_a_bad_byte_is_named_with_its_place_and_the_command_leaves_out_no_other(
    before: str, bad: bytes, after: str, piece: int, tmp_path_factory: pytest.TempPathFactory
):
    before, after = "Éé" * 20 + before, "x" + after
    data = before.encode() + bad + after.encode()
    message = refusal("a.txt", data, piece)
    offset, line = len(before.encode()), before.count("\n") + 1
    assert f"a.txt is not UTF-8: byte 0x{bad[0]:02X} at offset {offset:,}. Line {line:,} has it in" in message
    assert f"[0x{bad[0]:02X}]" in message
    surrogates = len([each for each in data.decode("utf-8", "surrogateescape") if "\udc80" <= each <= "\udcff"])
    assert f"it has {surrogates} such byte" in message
    folder = tmp_path_factory.mktemp("mended")
    (folder / "a.txt").write_bytes(data)
    assert follow_advice(message, folder) == data.decode("utf-8", "ignore").encode()


@needs_iconv
@given(cut=st.integers(1, 3), before=st.text("ab é\n", max_size=50))
def test_a_file_that_ends_within_a_character_is_said_to(
    cut: int, before: str, tmp_path_factory: pytest.TempPathFactory
):
    data = before.encode() + "😀".encode()[:cut]
    message = refusal("a.txt", data)
    assert "where the file ends within a character" in message
    folder = tmp_path_factory.mktemp("mended")
    (folder / "a.txt").write_bytes(data)
    assert follow_advice(message, folder) == before.encode()


@needs_iconv
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_following_the_advice_for_a_packed_table_lets_it_be_prepared(packing: str, tmp_path: Path):
    data = as_bytes("csv", tales(40)).replace(b"red", b"r\x92d", 1)
    source = tmp_path / f"my stories.csv{packing}"
    source.write_bytes(packed(packing, data))
    with pytest.raises(UserError, match=r"it has 1 such byte beside [0-9,]+ characters that are UTF-8") as error:
        prepare(DataConfig(source=str(source)), BPE, VOCAB, progress=False)
    assert follow_advice(str(error.value), tmp_path) == data.replace(b"\x92", b"")
    corpus = prepare(DataConfig(source=str(tmp_path / "my stories-utf8.csv")), BPE, VOCAB, progress=False)
    assert sum(split["stories"] for split in corpus.manifest["splits"].values()) == 40


@needs_iconv
@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt", "a.txt.gz.bz2", "a.txt.bz2", "a.txt.xz"])
def test_the_command_unpacks_what_the_file_is(name: str, tmp_path: Path):
    text = "A naïve café was “open”.\n" * 20
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    data = text.encode("cp1252")
    for ending in [ending for ending in name.split(".") if ending in pack] or ["gz"]:
        data = pack[ending](data)
    (tmp_path / name).write_bytes(data)
    message = refusal(str(tmp_path / name), data)
    assert all(shutil.which(word) for word in ("gzip", "bzip2", "xz"))
    assert follow_advice(message, tmp_path).decode() == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Жила-была кошка, она любила молоко.\n"),
        ("cp866", "Жила-была кошка, она любила молоко.\n"),
        ("cp1253", "Μια φορά κι έναν καιρό ήταν μια γάτα.\n"),
        ("cp850", "Es war einmal eine schöne Katze, die süße Milch mochte.\n"),
        ("UTF-16LE", "从前有一只小猫，它喜欢喝牛奶。\n"),
        ("UTF-16BE", "从前有一只小猫，它喜欢喝牛奶。\n"),
    ],
)
def test_an_encoding_without_letters_of_ascii_is_found(encoding: str, text: str):
    assert f"it seems to be {encoding}. Convert it" in refusal("a.txt", (text * 30).encode(encoding))


def test_what_is_no_text_has_no_command_that_converts_it():
    assert "it has control bytes, so it is not plain text" in refusal("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(200)))


def test_an_excerpt_has_no_escape_of_a_terminal():
    message = refusal("a.txt", ("é" * 9).encode() + b"\x1b[31mred\xff\x1b]0;title\x07 end")
    assert not {"\x1b", "\x07"} & {*message}
    assert os.linesep not in message
