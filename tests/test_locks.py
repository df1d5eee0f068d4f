"""Locks: one process at a time, whatever the system, and the others wait or learn who holds it."""

from __future__ import annotations

import errno
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from talewright.locks import LockedError, refuse_if_locked, wait_for_lock


def test_a_lock_on_windows_names_its_holder_and_ends_with_it(windows: None, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with refuse_if_locked(path, "process 1", str):
        with pytest.raises(LockedError, match="process 1"), refuse_if_locked(path, "process 2", str):
            raise AssertionError("it is held")
        assert path.read_text() == "process 1"
    with refuse_if_locked(path, "process 3", str):
        assert path.read_text() == "process 3"


@pytest.mark.parametrize("system", ["windows", "linux"])
def test_a_lock_is_waited_for_and_deleted(system: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if system == "windows":
        request.getfixturevalue("windows")
    events: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        events.append("waits")
        waiting.set()

    def second() -> None:
        with wait_for_lock(tmp_path / "target", wait):
            events.append("second")

    thread = threading.Thread(target=second)
    with wait_for_lock(tmp_path / "target", wait):
        thread.start()
        assert waiting.wait(30)
        events.append("first")
    thread.join(30)
    assert events == ["waits", "first", "second"]
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setitem(sys.modules, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2, LOCK_NB=4))
    with refuse_if_locked(tmp_path / ".lock", "process 1", str):
        assert (tmp_path / ".lock").read_text() == "process 1"
