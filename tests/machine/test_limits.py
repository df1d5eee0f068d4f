"""The memory that this process may use."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from talewright.machine import limits


def test_memory_is_the_machines_or_the_containers_whichever_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("this system does not report its free memory")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    free = limits.memory_available()
    assert free is not None
    assert free > 2**20
    (tmp_path / "memory.max").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\nfile 500000\n")
    assert limits.memory_available() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert limits.memory_available() is not None


def test_peak_memory_counts_what_was_held_and_released() -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU, its memory is counted")
    before = limits.peak_memory()
    held = torch.ones(2**26, dtype=torch.uint8).clone()
    during = limits.peak_memory()
    del held
    assert during > 2**26
    assert limits.peak_memory() >= during >= before


@pytest.fixture
def no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system without /proc and control groups."""
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(limits, "Path", lambda name: tmp_path / "absent")


class Kernel:
    """kernel32.dll, of a machine with 16 GiB of which 5 are available, for a process that once held 3."""

    def GlobalMemoryStatusEx(self, pointer: Any) -> int:  # noqa: N802 - Windows' own name
        status = pointer._obj
        assert status.length == ctypes.sizeof(status) == 64
        words = (ctypes.c_uint64 * 8).from_buffer(status)
        words[1], words[2] = 16 << 30, 5 << 30
        return 1

    def K32GetProcessMemoryInfo(self, process: Any, pointer: Any, size: int) -> int:  # noqa: N802
        assert process.value == 2 ** (8 * ctypes.sizeof(ctypes.c_void_p)) - 1
        assert size == ctypes.sizeof(pointer._obj) == 72
        (ctypes.c_uint64 * 9).from_buffer(pointer._obj)[1] = 3 << 30
        return 1


def test_windows_is_asked_for_its_memory(no_proc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=Kernel()), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert limits.memory_available() == 5 << 30
    assert limits.total_memory() == 16 << 30
    assert limits.peak_memory() == 3 << 30


def test_macos_says_its_whole_memory(no_proc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 16384, "SC_PHYS_PAGES": 1 << 20}.__getitem__)
    assert limits.memory_available() == limits.total_memory() == 16 << 30


def test_a_system_that_says_nothing_is_no_error(no_proc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert limits.memory_available() is None
    assert limits.peak_memory() == 0
