"""The memory that this process may use: the machine's, within the limits that are set for the process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from talewright.cpus import CGROUP, OWN_CGROUP, control_groups
from talewright.machine.windows import windows_memory, windows_peak_memory

NO_LIMIT = 2**60
"""What version 1 of control groups has for no limit is about 2^63."""


def memory_available(processes: int = 1) -> int | None:
    """Bytes of memory that are free for so many processes like this one, within the limits of its container, of its
    service and of `ulimit`; None if the system does not say.

    Swap space does not count, and cached files do not count as used: the kernel drops them.
    """
    own = (processes * left for left in _process_limits())
    found = [size for size in (_machine_memory(), _cgroup_memory(), *own) if size is not None]
    return max(0, min(found)) if found else None


def device_memory(device: torch.device, processes: int = 1) -> int | None:
    """Bytes of memory that so many processes may still allocate on a device; None if the system does not say."""
    if device.type == "cuda":  # what torch holds unused is free for it, too
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":  # it shares the machine's memory
        own = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        machine = memory_available()
        return own if machine is None else min(own, machine)
    return memory_available(processes)


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


def _cgroup_memory(root: Path = CGROUP, own: Path = OWN_CGROUP) -> int | None:
    """What the process's control group, and those around it, leave of their limits; None without one."""
    left = map(_left_in_group, control_groups("memory", root, own))
    return min((size for size in left if size is not None), default=None)


def _left_in_group(group: Path) -> int | None:
    """What a group's own limits leave; None if it has none.

    Of what it uses, the pages of files and the kernel's reclaimable caches are free when they are needed.
    """
    stat = _read_stat(group / "memory.stat")
    version_2 = _read_number(group / "memory.max"), _read_number(group / "memory.high")  # slowed down beyond `high`
    version_1 = _read_number(group / "memory.limit_in_bytes"), stat.get("hierarchical_memory_limit")
    limits = [limit for limit in (*version_2, *version_1) if limit is not None and limit < NO_LIMIT]
    if not limits:
        return None
    used = _read_number(group / "memory.current")
    prefix, droppable = "", ("active_file", "inactive_file", "slab_reclaimable")
    if used is None:
        used = _read_number(group / "memory.usage_in_bytes")
        prefix = "total_"  # with the groups inside, which version 2 always counts
    return min(limits) - max(0, (used or 0) - sum(stat.get(prefix + name, 0) for name in droppable))


def _read_number(path: Path) -> int | None:
    """The number in a file; None if there is none ("max": no limit)."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_stat(path: Path) -> dict[str, int]:
    """The numbers in a file by their names; empty if it is missing or damaged."""
    try:
        pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return {}


def _process_limits() -> Iterator[int]:
    """What this process's limits of address space and of data (`ulimit -v`, `ulimit -d`) leave, if it has such."""
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except (ImportError, OSError):  # macOS does not enforce them; Windows has none
        return
    held = {name: 1024 * int(size) for name, size in re.findall(r"^(VmSize|VmData):\s+(\d+) kB", status, re.MULTILINE)}
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY and name in held:
            yield most - held[name]
