from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.config import DataConfig
from talewright.data import prepare
from talewright.data.preparation import builder
from talewright.data.preparation.builder import CorpusBuilder
from talewright.data.preparation.disk_space import bytes_for_input
from talewright.data.sources import open_splits
from talewright.errors import UserError
from talewright.files import folder_size
from tests.data.cases import BPE, VOCAB, as_bytes, files_of, packed, tales, write_txt
from tests.disk import mounted

from .test_builder import StopError, stop

ENDINGS = ["txt", "jsonl", "json", "csv", "txt.gz"]


def estimate(source: Path, **settings: object) -> int:
    config = DataConfig(source=str(source), **settings)  # type: ignore[arg-type]
    return bytes_for_input(open_splits(config)[0].values())


def largest(config: DataConfig, vocab_size: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Bytes of the folder of a preparation when it is largest, and the last estimate of them."""
    estimates: list[int] = []
    monkeypatch.setattr(builder, "require_space", lambda folder, needed: estimates.append(folder_size(folder) + needed))
    monkeypatch.setattr(CorpusBuilder, "_remove_working_files", stop)
    with pytest.raises(StopError):
        prepare(config, BPE, vocab_size, folder, progress=False)
    return folder_size(folder.with_name(folder.name + ".partial")), estimates[-1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_estimate_before_reading_is_enough_for_uncompressed_files(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kind, _, compression = ending.partition(".")
    path = tmp_path / f"a.{ending}"
    path.write_bytes(packed(f".{compression}" if compression else "", as_bytes(kind, tales(3000))))
    estimated = estimate(path)
    taken, _ = largest(DataConfig(source=str(path)), 2000, tmp_path / "made", monkeypatch)
    assert estimated < 2 * taken
    assert estimated > 0.95 * taken or compression


def test_a_folder_and_other_sources_are_estimated_together_and_what_is_limited_is_not(tmp_path: Path):
    (tmp_path / "many").mkdir()
    for number in range(5):
        write_txt(tmp_path / "many" / f"{number}.txt", tales(200, seed=number))
    other = write_txt(tmp_path / "valid.txt", tales(300, seed=7))
    alone, both = estimate(tmp_path / "many"), estimate(tmp_path / "many", valid=str(other))
    assert both > alone > 5 * 200 * 100
    assert both - alone == estimate(other)
    assert estimate(tmp_path / "many", valid=str(other), limit=10) == estimate(other)
    assert estimate(Path("bundled:700")) == 0


def test_the_estimate_before_tokenizing_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_txt(tmp_path / "a.txt", tales(3000))
    taken, estimated = largest(DataConfig(source=str(source)), 2000, tmp_path / "made", monkeypatch)
    assert taken * 0.95 < estimated < 1.5 * taken


FULL = r"^the disk of .*two has too little free space: (?:about|more than) ([\d,]+) bytes are needed, and ([\d,]+) are"


@pytest.mark.parametrize("moment", ["before", "reading", "tokenizing"])
def test_a_full_disk_is_reported_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    """Found by the estimate before anything is read, or by the disk itself while stories or tokens are written."""
    source = write_txt(tmp_path / "a.txt", tales(1500))
    size = source.stat().st_size
    if moment != "before":
        monkeypatch.setattr(builder, "require_space", lambda folder, needed: None)
    with mounted(tmp_path / "disk", f"size={size // 2 if moment != 'tokenizing' else size * 5 // 4}"):
        before = prepare(
            DataConfig(source=str(source), limit=100), BPE, VOCAB, tmp_path / "disk" / "one", progress=False
        )
        kept = files_of(before.folder)
        with pytest.raises(UserError, match=FULL) as error:
            prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "disk" / "two", progress=False)
        needed, free = (int(number.replace(",", "")) for number in re.match(FULL, str(error.value)).groups())  # type: ignore[union-attr]
        assert free == shutil.disk_usage(tmp_path / "disk").free <= needed < 4 * size
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["one"]
        assert files_of(before.folder) == kept


def test_a_write_that_fails_for_lack_of_space_removes_the_unfinished_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As above, where nothing can be mounted: at each of the first calls of fsync."""
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
        with pytest.raises(UserError, match=r"has too little free space: .* bytes are needed, and [\d,]+ are free"):
            prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
        assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_folder_of_another_process_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that is full before the lock is held: the unfinished folder may belong to whoever holds it."""
    source = write_txt(tmp_path / "a.txt", tales(60))
    others = tmp_path / "made.partial" / "staging"
    others.mkdir(parents=True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("talewright.data.preparation.wait_for_lock", full)
    with pytest.raises(UserError, match=r"has too little free space: more than [\d,]+ bytes are needed"):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
    assert others.exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder here that nobody can write into")
def test_a_home_folder_that_cannot_be_made_advises_another_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALEWRIGHT_CACHE", "/proc/no-home/.cache")
    with pytest.raises(SystemExit) as ended:
        main(["data", "prepare", "--data", "bundled:40"])
    assert ended.value.code == 2
    assert "/proc/no-home cannot be written: No such file or directory. Choose another" in capsys.readouterr().err
