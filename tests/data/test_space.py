from __future__ import annotations

import errno
import os
import random
import re
import shutil
from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data import preparation, prepare
from talewright.data.sources import open_roles
from talewright.data.space import expected
from talewright.errors import UserError
from talewright.files import folder_size
from tests.disk import mounted

from .cases import BPE, VOCAB, as_bytes, files_of, packed, tales, write_txt
from .test_preparation import StopError, stop

ENDINGS = ["txt", "jsonl", "json", "csv", "parquet", "txt.gz", "jsonl.zst"]


def estimate(source: Path, **settings: object):
    config = DataConfig(source=str(source), **settings)  # type: ignore[arg-type]
    return expected(open_roles(config)[0].values(), config)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_a_file_holds_is_told_by_its_beginning(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("talewright.data.space._SAMPLE", 400_000)
    told = tales(12_000)
    kind, _, packing = ending.partition(".")
    path = tmp_path / f"a.{ending}"
    path.write_bytes(packed(f".{packing}" if packing else "", as_bytes(kind, told)))
    size = sum(len(story.encode()) for story in told)
    found = estimate(path)
    assert found is not None
    assert (found.stories, found.bytes) == (pytest.approx(12_000, rel=0.1), pytest.approx(size, rel=0.1))
    few = estimate(path, limit=1200)
    assert few is not None
    assert few.bytes == pytest.approx(size / 10, rel=0.1)


def test_a_folder_of_files_and_sources_of_their_own_are_counted_together(tmp_path: Path):
    (tmp_path / "many").mkdir()
    for number in range(5):
        write_txt(tmp_path / "many" / f"{number}.txt", tales(200, seed=number))
    (tmp_path / "many" / "more.jsonl").write_bytes(as_bytes("jsonl", tales(200, seed=9)))
    other = write_txt(tmp_path / "valid.txt", tales(300, seed=7))
    found = estimate(tmp_path / "many", valid=str(other))
    assert found is not None
    assert found.stories == pytest.approx(1500, rel=0.05)
    assert estimate(Path("bundled:700")).stories == 700  # type: ignore[union-attr]


def test_a_file_that_tells_nothing_is_taken_for_text(tmp_path: Path):
    for name, data in {"a.txt.gz": b"no gzip", "b.json": b"17", "c.txt": b"", "d.parquet": b"PAR1"}.items():
        (tmp_path / name).write_bytes(data)
        found = estimate(tmp_path / name)
        assert found is not None
        assert found.bytes <= len(data)


@pytest.mark.parametrize("vocab", [VOCAB, 2000])
def test_the_room_for_tokens_is_what_they_take(vocab: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The estimate that is made when the tokenizer is known, beside all bytes there when the manifest is written."""
    draw = random.Random(3)
    told = [f"{n} " + " ".join(draw.choices(["hen", "fox", "lantern", "é😀", "river"], k=90)) for n in range(1500)]
    source = write_txt(tmp_path / "a.txt", told)
    asked: list[int] = []
    ensure = preparation._Preparation._ensure_room
    monkeypatch.setattr(
        preparation._Preparation, "_ensure_room", lambda self, needed: (asked.append(needed), ensure(self, needed))
    )
    monkeypatch.setattr(preparation._Preparation, "_tidy", stop)
    with pytest.raises(StopError):
        prepare(DataConfig(source=str(source)), BPE, vocab, tmp_path / "made", progress=False)
    there = folder_size(tmp_path / "made.partial") - folder_size(tmp_path / "made.partial" / "tokenizer")
    assert asked[-1] == pytest.approx(there, rel=0.05)


FULL = r"^the disk of .*two has too little room: about ([\d,]+) bytes are needed, and ([\d,]+) are free\. Free some, or"


@pytest.mark.parametrize("moment", ["before", "reading", "tokenizing"])
def test_a_full_disk_is_said_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    """Told by the estimate before anything is read, or by the disk itself while stories or tokens are written."""
    source = write_txt(tmp_path / "a.txt", tales(1500))
    size = source.stat().st_size
    ensure = preparation.ensure_room
    calls = iter([moment == "before", moment in ("before", "reading")])
    monkeypatch.setattr(preparation, "ensure_room", lambda *words: next(calls, True) and ensure(*words))
    with mounted(tmp_path / "disk", f"size={size // 2 if moment != 'tokenizing' else size * 5 // 4}"):
        before = prepare(
            DataConfig(source=str(source), limit=100), BPE, VOCAB, tmp_path / "disk" / "one", progress=False
        )
        kept = files_of(before.folder)
        calls = iter([moment == "before", moment != "tokenizing"])
        with pytest.raises(UserError, match=FULL) as error:
            prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "disk" / "two", progress=False)
        needed, free = (int(number.replace(",", "")) for number in re.match(FULL, str(error.value)).groups())  # type: ignore[union-attr]
        assert free == shutil.disk_usage(tmp_path / "disk").free < needed < 4 * size
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["one"]
        assert files_of(before.folder) == kept


def test_a_write_that_fails_for_want_of_space_takes_the_half_made_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As above, where nothing can be mounted: at each of the first writes that are made lasting."""
    source = write_txt(tmp_path / "a.txt", tales(60))
    fsync = os.fsync
    for moment in range(1, 12):
        left = moment

        def full(handle: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(handle)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"has too little room: .* bytes are needed, and [\d,]+ are free"):
            prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
        assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
