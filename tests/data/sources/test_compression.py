from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import DataConfig
from talewright.data.sources import open_source
from talewright.errors import UserError
from tests.data.cases import as_bytes, tales
from tests.data.sources.test_formats import KINDS, read, stripped

zstandard = pytest.importorskip("zstandard")


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstd,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
SKIPPABLE = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"


@given(
    kind=st.sampled_from(KINDS),
    layers=st.lists(st.sampled_from(list(PACK)), max_size=3),
    named=st.booleans(),
    parquet_named=st.sampled_from(["txt", "jsonl", "csv", "parquet"]),
)
def test_contents_are_read_however_often_and_by_whatever_name_they_are_packed(kind, layers, named, parquet_named):
    stories = tales(30)
    data = as_bytes(kind, stories)
    for layer in layers:
        data = PACK[layer](data)
    ending = f".{layers[-1]}" if named and layers else ""
    name = f"a.{parquet_named if kind == 'parquet' else kind}{ending}"
    assert stripped(read(name, data)) == stories


WHOLE = {packing: pack(as_bytes("jsonl", tales(100))) for packing, pack in PACK.items()}


@pytest.mark.parametrize("packing", PACK)
@given(keep=st.floats(0.01, 0.999))
def test_a_packed_file_that_is_cut_short_is_refused(packing: str, keep: float):
    data = WHOLE[packing]
    with pytest.raises(UserError, match=r"^a\.jsonl is (damaged or cut short|not UTF-8)|^a\.jsonl line 1 "):
        read("a.jsonl", data[: max(13, int(len(data) * keep))])


def test_frames_and_members_in_a_row_are_one_file_and_skippable_frames_are_skipped():
    one, two = (as_bytes("jsonl", tales(3, seed)) for seed in (0, 1))
    for pack in PACK.values():
        assert len(read("a.jsonl", pack(one) + pack(two))) == 6
    for data in (SKIPPABLE + zstd(one) + SKIPPABLE + zstd(two) + SKIPPABLE, zstd(one) + SKIPPABLE + zstd(two)):
        assert len(read("a.jsonl.zst", data)) == 6


def test_a_window_of_2_gib_is_read_with_little_memory(tmp_path: Path):
    lines = as_bytes("jsonl", tales(200))
    path = tmp_path / "a.jsonl.zst"
    # The frame's header alone asks for the window: the descriptor says that one follows, of 2^(10 + 21) bytes.
    block = lines[: 1 << 16]
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + (len(block) << 3 | 1).to_bytes(3, "little") + block)
    script = (
        "import resource, sys; from talewright.config import DataConfig\n"
        "from talewright.data.sources import open_source\n"
        "stories = list(open_source(sys.argv[1], DataConfig()).files['train'][0].read())\n"
        "print(len(stories), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout
    assert int(out.split()[0]) == 200
    assert int(out.split()[1]) < 1 << 20  # KiB


def archive(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as some:
            some.writestr("stories.jsonl", as_bytes("jsonl", tales(5)))
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as some:
        entry = tarfile.TarInfo("stories.jsonl")
        entry.size = len(data := as_bytes("jsonl", tales(5)))
        some.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("name", ["a.zip", "my stories.txt", "a.tar", "a.tar.gz", "a.tgz", "a.jsonl.gz"])
def test_the_advice_for_an_archive_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    kind = "zip" if name in ("a.zip", "my stories.txt") else "tar" if name == "a.tar" else "tar.gz"
    Path(name).write_bytes(archive(kind))
    with pytest.raises(UserError, match=r" archive.*; unpack it into a folder, and name the folder: ") as error:
        open_source(name, DataConfig())
    command = str(error.value).partition("name the folder: ")[2]
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    if done.returncode == 127:
        pytest.skip(f"no program for: {command}")
    assert len(list(open_source("NEW_FOLDER", DataConfig()).files["train"][0].read())) == 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF; make a text file of it"),
        (b"{\\rtf1\\ansi Once upon a time}", "is in Rich Text Format"),
        (b"\n<!DOCTYPE html>\n<html><body>Not found", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "fetch the file: git lfs pull"),
        (b"7z\xbc\xaf\x27\x1c\0", "is a 7-Zip archive"),
        (b"Rar!\x1a\x07\0", "is a RAR archive"),
        (b"\x04\x22\x4d\x18\0", "is compressed by LZ4"),
        (gzip.compress(b"%PDF-1.7\n", mtime=0), "is a PDF"),
    ],
)
def test_what_is_no_text_is_refused_by_what_it_is(data: bytes, message: str):
    for name in ("a.txt", "a.jsonl", "a.bin"):
        with pytest.raises(UserError) as error:
            read(name, data)
        assert str(error.value).startswith(f"{name} {message}" if message.startswith("is") else name)
        assert message in str(error.value)


def test_a_text_that_only_its_name_calls_compressed_is_refused_and_the_advice_works(tmp_path: Path):
    path = tmp_path / "some stories.jsonl.gz"
    path.write_bytes(as_bytes("jsonl", tales(3)))
    with pytest.raises(UserError, match=r"or is damaged at the beginning; .* rename it: mv ") as error:
        open_source(str(path), DataConfig())
    subprocess.run(str(error.value).partition("rename it: ")[2], shell=True, check=True)
    assert len(list(open_source(str(path.with_suffix("")), DataConfig()).files["train"][0].read())) == 3
