"""The memory that this process may use."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talewright.machine import limits

SIZES = st.integers(0, 2**40)
LIMITS = st.none() | SIZES
GROUPS = st.lists(st.tuples(LIMITS, LIMITS, SIZES, SIZES, SIZES), min_size=4, max_size=4)
"""Of each group around the process: two limits, what is held, and what of it are files and reclaimable caches."""
PATHS = st.lists(st.sampled_from(["user.slice", "docker", "a b", "job_1"]), max_size=3)


def write_group(group: Path, version: int, values: tuple[int | None, int | None, int, int, int]) -> int | None:
    """Write a group's files as the kernel does; returns what it leaves, None without a limit."""
    first, second, held, files, caches = values
    group.mkdir(parents=True, exist_ok=True)
    if version == 2:
        for name, limit in (("memory.max", first), ("memory.high", second)):
            (group / name).write_text(f"{'max' if limit is None else limit}\n")
        (group / "memory.current").write_text(f"{held + files + caches}\n")
        (group / "memory.swap.max").write_text("5\n")
        stat = f"anon {held}\nfile {files + 7}\nshmem 7\nactive_file {files // 2}\ninactive_file {files - files // 2}\n"
        (group / "memory.stat").write_text(f"{stat}slab_reclaimable {caches}\n")
    else:
        most = 9223372036854771712
        (group / "memory.limit_in_bytes").write_text(f"{most if first is None else first}\n")
        (group / "memory.memsw.limit_in_bytes").write_text("5\n")  # with swap
        (group / "memory.soft_limit_in_bytes").write_text("5\n")  # not enforced
        (group / "memory.usage_in_bytes").write_text(f"{held + files}\n")
        (group / "memory.stat").write_text(
            f"cache 3\nactive_file 1\ntotal_active_file {files // 2}\ntotal_inactive_file {files - files // 2}\n"
            f"hierarchical_memory_limit {most if second is None else second}\n"
        )
    least = min((limit for limit in (first, second) if limit is not None), default=None)
    return None if least is None else least - held


@given(version=st.sampled_from([1, 2]), path=PATHS, groups=GROUPS)
def test_the_tightest_group_around_the_process_decides(
    version: int, path: list[str], groups: list, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    root, own = folder / "cgroup", folder / "own"
    top = root if version == 2 else root / "memory"
    inside = "/".join(path)
    own.write_text(f"0::/{inside}\n" if version == 2 else f"9:name=systemd:/other\n4:memory:/{inside}\n0::/\n")
    folders = [top.joinpath(*path[:depth]) for depth in range(len(path) + 1)]
    left = [write_group(group, version, values) for group, values in zip(folders, groups, strict=False)]
    write_group(top / "other", version, (1, 1, 1, 1, 1))  # another process's group
    assert limits._cgroup_memory(root, own) == min((size for size in left if size is not None), default=None)


@pytest.mark.parametrize("path", ["/docker/4d3b6c", "/../../system.slice/job"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_container_sees_its_own_group_as_the_root(version: int, path: str, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(f"0::{path}\n4:memory:{path}\n")
    top = tmp_path / "cgroup" if version == 2 else tmp_path / "cgroup" / "memory"
    write_group(top, version, (1000, None, 300, 500, 0))
    write_group(tmp_path / "system.slice" / "job", version, (1, 1, 0, 0, 0))
    assert limits._cgroup_memory(tmp_path / "cgroup", tmp_path / "own") == 700


@pytest.mark.parametrize("text", ["", "nonsense", "1 2\n", "\xff"])
def test_damaged_files_are_no_limit(text: str, tmp_path: Path) -> None:
    assert limits._cgroup_memory(tmp_path, tmp_path / "own") is None
    for name in ("own", "memory.max", "memory.stat", "memory.current", "memory.limit_in_bytes"):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert limits._cgroup_memory(tmp_path, tmp_path / "own") is None


@pytest.mark.parametrize(
    ("machine", "group", "own", "processes", "available"),
    [
        (900, None, [], 1, 900),
        (900, 600, [], 1, 600),
        (900, 1200, [700, 800], 1, 700),
        (900, None, [300], 2, 600),  # each process has its own
        (900, -50, [], 1, 0),  # beyond memory.high
        (None, None, [], 1, None),
        (None, 5, [], 1, 5),
    ],
)
def test_the_least_of_all_limits_is_available(machine, group, own, processes, available, monkeypatch) -> None:
    monkeypatch.setattr(limits, "_machine_memory", lambda: machine)
    monkeypatch.setattr(limits, "_cgroup_memory", lambda: group)
    monkeypatch.setattr(limits, "_process_limits", lambda: iter(own))
    assert limits.memory_available(processes) == available


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_count(name: str) -> None:
    """In a process of its own, because a limit stays."""
    if sys.platform != "linux":
        pytest.skip("only Linux says what a process holds of its limits")
    script = (
        "import resource; from talewright.machine.limits import _process_limits as left\n"
        f"resource.setrlimit(resource.{name}, (64 << 30, resource.getrlimit(resource.{name})[1]))\n"
        "before = min(left()); held = bytearray(1 << 28); print(before, before - min(left()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, taken = map(int, done.stdout.split())
    assert 0 < before < 64 << 30
    assert taken == pytest.approx(1 << 28, rel=0.1)


def test_this_system_says_how_much_memory_is_free() -> None:
    free = limits.memory_available()
    assert free is None or free > 2**20


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


def test_the_free_memory_of_a_gpu_includes_what_torch_holds_unused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert limits.device_memory(torch.device("cuda")) == 1200


@pytest.mark.parametrize(("machine", "available"), [(None, 700), (500, 500), (900, 700), (0, 0)])
def test_an_apple_gpu_shares_the_machines_memory(machine, available, monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 800)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 100)
    monkeypatch.setattr(limits, "memory_available", lambda processes=1: machine)
    assert limits.device_memory(torch.device("mps")) == available
