"""Atomic files: whole whatever happens to their writers."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.files import (
    atomic_folder,
    cache_dir,
    existing_parent,
    expand_home,
    json_text,
    portable_name,
    publish_folder,
    read_json,
    rename,
    shell_word,
    write_json,
    write_text_atomic,
)
from tests.systems import sync_no_folder, windows_error

WRITER = """
import sys
from pathlib import Path
from types import SimpleNamespace
from talewright.files import write_json
for number in range(150):
    write_json(Path(sys.argv[1]), [sys.argv[2]] * 500)
"""


def test_processes_that_write_one_file_at_once_leave_one_of_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a", "b", "c")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert read_json(path) in ([name] * 500 for name in ("a", "b", "c"))
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_a_name_that_is_not_utf_8_can_be_part_of_a_text(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "report.html", "the run \udce9")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "the run ?"


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text_atomic(path, json.dumps("earlier"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            write_text_atomic(path, json.dumps("later"))
    assert read_json(path) == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


# --- other systems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOTSUP])
def test_a_folder_is_written_where_folders_cannot_be_synced(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_no_folder(monkeypatch, number)
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder") as partial:
            (partial / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "second"


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(tmp_path / "folder") as partial:
        (partial / "file").write_text("text")
    assert not list(tmp_path.iterdir())


def test_folders_are_replaced_on_windows(windows: None, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()  # empty: it is free
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder") as partial:
            (partial / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_is_not_empty_is_not_overwritten(tmp_path: Path) -> None:
    for name in ("finished", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError, match="not empty"):
        publish_folder(tmp_path / "finished", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "target"


def test_a_file_that_a_virus_scanner_has_open_is_replaced_once_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").write_text("new")
    errors, replace = [windows_error(5, "new"), windows_error(32, "new")], os.replace

    def replace_later(source: Path, target: Path) -> None:
        if errors:
            raise errors.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_later)
    rename(tmp_path / "new", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "new"


def test_another_error_of_a_rename_is_raised_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "absent", tmp_path / "file")


@given(
    name=st.text(max_size=12) | st.sampled_from(["con", "NUL", "com1.txt", "Lpt9 .x", "a:b", "..", "a. .", "<b>|?*"])
)
def test_a_portable_name_is_one_on_windows_and_stays_what_it_is(name: str) -> None:
    portable = portable_name(name)
    assert portable
    assert not set(portable) & {*'<>:"/\\|?*', *map(chr, range(32))}
    assert portable[-1] not in ". "
    assert portable.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert portable_name(portable) == portable


@pytest.mark.parametrize(
    "name", ["quickstart", "mini-2m", "Märchen 2", "console", "com", "a.b", ".hidden", "nulls.txt"]
)
def test_a_name_that_all_systems_accept_is_kept(name: str) -> None:
    assert portable_name(name) == name


def test_a_home_folder_that_is_unknown_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert expand_home("~nobody-here/x") == Path("~nobody-here/x")  # a name as any other
    assert expand_home("~") == Path.home()
    Path("~").write_text("a file of that name")
    assert expand_home("~") == Path("~")
    monkeypatch.delenv("TALEWRIGHT_CACHE", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does without a home folder
    with pytest.raises(UserError, match=r"~/x: there is no home folder here; write the full path"):
        expand_home("~/x")
    with pytest.raises(UserError, match=r"no home folder .*; set TALEWRIGHT_CACHE"):
        cache_dir()


def test_the_free_space_of_a_missing_drive_is_that_of_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path == Path() and exists(path))
    assert existing_parent(Path("/z/runs")) == Path()


def test_a_path_is_quoted_for_the_shell_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell_word("my run") == "'my run'"
    monkeypatch.setattr(sys, "platform", "win32")
    assert shell_word(r"C:\my runs\a") == r'"C:\my runs\a"'
    assert shell_word(r"runs\a") == r"runs\a"


def test_on_windows_a_folder_is_synced_and_takes_the_place_of_an_empty_one(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "file").write_text("text")
    synced: list[str] = []
    sync = os.fsync

    def record(handle: int) -> None:
        sync(handle)
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", record)
    publish_folder(tmp_path / "finished", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "text"
    assert synced == ["file"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def refuse(constant: str) -> None:
    raise AssertionError(constant)


def without_flags(value, read):
    """What was read, checked against the value: equal, but that a number that is not finite is null and flagged."""
    if isinstance(value, dict):
        lost = [name for name, each in value.items() if isinstance(each, float) and not math.isfinite(each)]
        if lost:
            assert read["not_finite"][-len(lost) :] == lost
        return all(without_flags(each, read[name]) for name, each in value.items() if name != "not_finite")
    if isinstance(value, list):
        return all(without_flags(each, other) for each, other in zip(value, read, strict=True))
    return read is None if isinstance(value, float) and not math.isfinite(value) else read == value


@given(JSON_VALUES)
def test_what_is_written_as_json_is_json_and_names_what_json_cannot_hold(value):
    text = json_text(value)
    assert without_flags(value, json.loads(text, parse_constant=refuse))


def test_a_json_file_of_a_number_that_is_not_finite_is_read_by_strict_readers(tmp_path):
    write_json(tmp_path / "a.json", {"loss": math.nan, "losses": [1.0, math.inf]})
    read = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == {"loss": None, "losses": [1.0, None], "not_finite": ["loss"]}
