"""How torch's threads wait for each other, and how many there are. Both must be chosen before torch is imported.

OpenMP's threads spin while they wait. That is fast on an idle machine, but on a busy one they spin away the time that
the thread they wait for needs: training is then up to fifteen times slower (docs/BENCHMARKS.md). So threads spin for a
millisecond or two, longer than almost any wait on an idle machine, and then sleep. `machine/busy.py` lets them sleep at
once while the machine is busy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

SPINNING = {"GOMP_SPINCOUNT": "30000", "KMP_BLOCKTIME": "1"}
"""For GNU's OpenMP in loop iterations, a tenth of its own default; for LLVM's and Intel's in milliseconds, where 200 is
the default.
"""
WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
CGROUP, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def set_openmp_defaults(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the environment variables that OpenMP reads when torch is imported, except those that the user set.

    Processes started by this one inherit them.
    """
    if not any(name in environment for name in WAIT_VARIABLES):
        environment.update(SPINNING)
    if usable_cpus() < available_cpus():  # OpenMP itself respects only the affinity
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
