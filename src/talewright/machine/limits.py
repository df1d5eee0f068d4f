"""The memory that this process may use: the machine's, and its container's limit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from talewright.machine.windows import windows_memory, windows_peak_memory

CGROUP = Path("/sys/fs/cgroup")


def memory_available() -> int | None:
    """Bytes of memory still available, within the container's limit; None if the system does not say."""
    return min((size for size in (_machine_memory(), _cgroup_memory()) if size is not None), default=None)


def peak_memory() -> int:
    """Most bytes held so far: on the GPU if there is one, otherwise by this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return windows_peak_memory()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _machine_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # another system than Linux
        return windows_memory("available") or total_memory()


def total_memory() -> int | None:
    """Bytes of the machine's memory; None if the system does not say."""
    if not hasattr(os, "sysconf"):
        return windows_memory("total")
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _cgroup_memory() -> int | None:
    """What a control group (version 2) leaves of its limit. Cached file pages do not count: the kernel drops them."""
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="utf-8"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="utf-8").splitlines())
        return limit - int(stat["anon"])
    except (OSError, ValueError, KeyError):  # no such group, or no limit ("max")
        return None
