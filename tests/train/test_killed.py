"""SIGKILL at any moment, to real processes: what is left is whole, and the resumed run equals an uninterrupted one."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.killed import differences, log_of

ROOT = Path(__file__).parents[2]


def lives(folder: Path, moments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What tests.train.dying reports of these lives."""
    command = [sys.executable, "-m", "tests.train.dying", str(folder)]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(moments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def drawn(seed: int, calls: int, seconds: int) -> list[dict[str, Any]]:
    """Moments in an order of their own: so many by a count of what is done to the disk, so many by the clock."""
    draw = random.Random(seed)
    moments: list[dict[str, Any]] = [{"calls": draw.randint(1, 70)} for _ in range(calls)]
    moments += [{"seconds": draw.uniform(0.02, 0.35)} for _ in range(seconds)]
    draw.shuffle(moments)
    return moments


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A folder with a run that was killed twelve times and one that was not; the lives of the first."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, lives(folder, drawn(1, 9, 3))


def test_killed_again_and_again_a_run_ends_as_one_that_was_not(killed: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = killed
    assert_right(folder, found, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 9))
def test_the_same_many_more_times(tmp_path: Path, seed: int) -> None:
    assert_right(tmp_path, lives(tmp_path, drawn(seed, 9, 3)), 12)


def assert_right(folder: Path, found: list[dict[str, Any]], moments: int) -> None:
    assert [life["faults"] for life in found] == [[]] * len(found)
    assert [life["code"] for life in found[:-1]] == [-9] * (len(found) - 1)
    assert found[-1]["code"] == 0
    assert len(found) > moments * 0.5  # else it ended before most could kill it
    assert sum(life["saving"] for life in found) >= moments / 8
    assert differences(folder / "whole", folder / "killed") == []


def test_runs_that_differ_are_seen_to_differ(killed: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """The comparison itself: each part of a run, altered, is named."""
    whole, run = killed[0] / "whole", tmp_path / "run"
    shutil.copytree(whole, run)
    assert differences(whole, run) == []
    for name in ("model.safetensors", "optimizer.safetensors"):
        path = run / "checkpoints" / "step-40" / name
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    lines = (run / "log.jsonl").read_text().splitlines()
    changed = next(i for i, line in enumerate(lines) if '"step": 7,' in line)
    (run / "log.jsonl").write_text("\n".join(lines[:changed] + lines[changed + 1 :]) + "\n")
    (run / "samples.jsonl").write_text("")
    assert differences(whole, run) == [
        "model.safetensors",
        "optimizer.safetensors",
        "log.jsonl",
        "samples.jsonl",
    ]
    assert len(list(log_of(whole))) == 1 + 40 + 13 + 1  # every step; evaluated: untrained, every third, and the last
