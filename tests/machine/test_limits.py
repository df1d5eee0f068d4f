"""The memory that this process may use."""

from __future__ import annotations

from pathlib import Path

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
