"""How many threads torch uses where a container allows fewer CPUs than there are. Set before torch is imported."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUP, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OMP_NUM_THREADS to the container's CPU quota, unless it is set. OpenMP itself respects only the affinity.

    Processes started by this one inherit it.
    """
    if usable_cpus() < available_cpus():
        environment.setdefault("OMP_NUM_THREADS", str(usable_cpus()))


def usable_cpus() -> int:
    """CPUs that this process has time on, a part of one counted whole."""
    quota = cpu_quota()
    return available_cpus() if quota is None else min(available_cpus(), math.ceil(quota))


def available_cpus() -> int:
    """Logical CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = CGROUP, own: Path = OWN_CGROUP) -> float | None:
    """CPU seconds per second that the container allows (control groups, version 1 or 2); None without a limit."""
    return min(filter(None, map(_quota, _groups(root, own))), default=None)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """The folders of the process's control group and of those around it. In a container, its own group may be the
    root.
    """
    paths = {PurePosixPath()}
    with suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                paths |= {PurePosixPath(path.lstrip("/")), *PurePosixPath(path.lstrip("/")).parents}
    for controller in ("", "cpu", "cpu,cpuacct"):  # version 2, and two usual names in version 1
        yield from (root / controller / path for path in paths)


def _quota(group: Path) -> float | None:
    """A group's own limit; None if it has none."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((group / name).read_text(encoding="utf-8") for name in names)
        return float(quota) / float(period) if float(quota) > 0 else None  # -1: no limit
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
