from __future__ import annotations

import random
from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data import preparation, prepare
from talewright.data.folders import size_of
from talewright.data.sources import open_roles
from talewright.data.space import expected

from .cases import BPE, VOCAB, as_bytes, packed, tales, write_txt
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
    there = size_of(tmp_path / "made.partial") - size_of(tmp_path / "made.partial" / "tokenizer")
    assert asked[-1] == pytest.approx(there, rel=0.05)
