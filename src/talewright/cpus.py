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
    return min(filter(None, map(_quota, control_groups("cpu", root, own))), default=None)


def control_groups(controller: str, root: Path = CGROUP, own: Path = OWN_CGROUP) -> Iterator[Path]:
    """Folders of the process's control group, version 1 or 2, and of those around it; some may not exist.

    A group's limits hold for all groups inside it. In a container, the process's own group may be the root.
    """
    paths = {"": {PurePosixPath()}, controller: {PurePosixPath()}}  # version 2 has one tree for all controllers
    with suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            inside = PurePosixPath(path.lstrip("/"))
            if ".." in inside.parts:  # outside of what this container sees
                continue
            for tree in {"", controller} & set(controllers.split(",")):
                paths[tree] |= {inside, *inside.parents}
    mounts = {"": ("", "unified"), controller: (controller, f"{controller},{controller}acct")}  # usual names
    for tree, names in mounts.items():
        yield from (root / name / path for name in names for path in paths[tree])


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
