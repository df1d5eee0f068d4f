"""The number of threads that a container's limit allows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright import cpus
from talewright.cpus import cpu_quota, limit_threads

QUOTAS = st.one_of(st.none(), st.integers(1_000, 6_400_000))
PATHS = st.lists(st.sampled_from(["docker", "user.slice", "a b", "job_1"]), max_size=3)


def write_quota(group: Path, version: int, quota: int | None) -> None:
    group.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (group / "cpu.max").write_text(f"{'max' if quota is None else quota} 100000\n")
    else:
        (group / "cpu.cfs_quota_us").write_text(f"{-1 if quota is None else quota}\n")
        (group / "cpu.cfs_period_us").write_text("100000\n")


@given(version=st.sampled_from([1, 2]), path=PATHS, quotas=st.lists(QUOTAS, min_size=4, max_size=4))
def test_the_quota_is_the_lowest_limit_around_the_process(
    version: int, path: list[str], quotas: list[int | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    root = folder / "cgroup"
    top = root if version == 2 else root / "cpu"
    own = f"0::/{'/'.join(path)}\n" if version == 2 else f"3:cpuset:/elsewhere\n1:cpu:/{'/'.join(path)}\n"
    (folder / "own").write_text(own)
    groups = [top.joinpath(*path[:depth]) for depth in range(len(path) + 1)]
    for group, quota in zip(groups, quotas, strict=False):
        write_quota(group, version, quota)
    write_quota(top / "elsewhere", version, 500)  # another process's group
    limits = [quota / 100_000 for quota in quotas[: len(groups)] if quota is not None]
    assert cpu_quota(root, folder / "own") == (min(limits) if limits else None)


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "own") is None
    write_quota(tmp_path, 2, None)
    (tmp_path / "cpu.max").write_text("nonsense")
    assert cpu_quota(tmp_path, tmp_path / "own") is None


@pytest.mark.parametrize(("quota", "threads"), [(None, None), (0.5, "1"), (1.5, "2"), (3.0, "3"), (8.0, None)])
def test_a_quota_below_the_cpus_limits_the_threads(
    quota: float | None, threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "cpu_quota", lambda: quota)
    monkeypatch.setattr(cpus, "available_cpus", lambda: 4)
    environment: dict[str, str] = {}
    limit_threads(environment)
    assert environment.get("OMP_NUM_THREADS") == threads
    chosen = {"OMP_NUM_THREADS": "4"}
    limit_threads(chosen)
    assert chosen["OMP_NUM_THREADS"] == "4"


def test_torch_is_imported_with_the_limit() -> None:
    """The package sets it before torch is loaded."""
    script = (
        "import sys, talewright; assert 'torch' not in sys.modules\n"
        "from talewright import cpus; cpus.available_cpus = lambda: 1000\n"
        "cpus.cpu_quota = lambda: 0.7\ncpus.limit_threads()\nimport torch; print(torch.get_num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1"]
