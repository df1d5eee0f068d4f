"""The points of a timeline: at which steps they are, that training is as without them, and what a resume does."""

from __future__ import annotations

import os
import random
import signal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks.killed import differences
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from talewright.run.timeline import timeline_file, timeline_steps
from talewright.train.preflight import run_bytes
from talewright.train.schedule import Budget
from talewright.train.timeline import TimelineSaver, next_point
from tests.train.conftest import train_small


def points(count: int, total: int) -> list[int]:
    found = [0]
    for left in range(count, 0, -1):
        found.append(next_point(found[-1], total, left))
    return found[1:]


@given(count=st.integers(1, 40), total=st.integers(1, 10**6))
def test_points_are_as_many_as_wanted_from_the_first_step_to_the_last(count: int, total: int) -> None:
    found = points(count, total)
    assert found == sorted(set(found))
    if count <= total:
        assert len(found) == count
        assert found[-1] == total
        assert count == 1 or found[0] == 1
    even = total ** (1 / max(1, count - 1))  # the ratio, were there no whole numbers
    assert all(earlier + 1 == later or later / earlier < even * 1.5 for earlier, later in pairwise(found))


def test_points_of_two_thousand_steps() -> None:
    assert points(16, 2051) == [1, 2, 3, 5, 8, 13, 22, 36, 60, 99, 164, 272, 451, 747, 1238, 2051]


class Written(TimelineSaver):
    """Writes no file."""

    def __init__(self, *given: Any) -> None:
        super().__init__(Path(), *given)
        self.steps: list[int] = []

    def step(self, step: int, seconds: float) -> None:
        if self.due(step, seconds):
            self.save(None, SimpleNamespace(step=step), write=False)  # pyright: ignore[reportArgumentType]
            self.steps.append(step)


@given(pace=st.floats(0.05, 5), compiling=st.floats(0, 60), seed=st.integers(0, 10**6), count=st.integers(2, 24))
def test_a_budget_in_minutes_gives_about_the_same_points(pace: float, compiling: float, seed: int, count: int) -> None:
    written, seconds, step, noise = Written(count, Budget(None, 300.0), [], 0), compiling, 0, random.Random(seed)
    while seconds < 300:
        step, seconds = step + 1, seconds + pace * noise.uniform(0.8, 1.3)
        written.step(step, seconds)
    assert written.steps[0] == 1
    assert written.steps[-1] == step
    assert count - 1 <= len(written.steps) <= count
    expected = points(count, step)
    for found, wanted in zip(written.steps, expected, strict=False):
        assert abs(found - wanted) <= 2 + 0.35 * wanted


def test_a_saver_continues_where_the_run_was_stopped() -> None:
    written = Written(8, Budget(1000, None), [1, 3, 7], 10)
    for step in range(11, 1001):
        written.step(step, 0.1 * step)
    assert len(written.steps) == 5
    assert written.steps[0] == 19  # 7 * (1000 / 7) ** (1 / 5)
    assert written.steps[-1] == 1000


def test_a_saver_that_is_turned_on_at_a_resume_begins_at_once() -> None:
    written = Written(4, Budget(None, 100.0), [], 500)
    for step in range(501, 1001):
        written.step(step, 0.1 * step)
    assert written.steps == [501, 631, 794, 1000]


def test_none_is_due_where_none_is_wanted() -> None:
    written = Written(0, Budget(10, None), [], 0)
    assert not any(written.due(step, 0.1) for step in range(11))


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_run_keeps_its_points_and_trains_as_without_them(small, small_corpus, tmp_path, average) -> None:
    train = {"max_steps": 12, "checkpoint_every": 1, "keep": 12, "average": average}
    train_small(small(train=train), small_corpus, tmp_path / "plain")
    train_small(small(train={**train, "timeline_checkpoints": 6}), small_corpus, tmp_path / "run")
    assert timeline_steps(tmp_path / "plain") == []
    assert timeline_steps(tmp_path / "run") == points(6, 12) == [1, 2, 3, 5, 8, 12]
    for step in timeline_steps(tmp_path / "run"):
        light = load_file(timeline_file(tmp_path / "run", step))
        full = load_file(tmp_path / "plain" / "checkpoints" / f"step-{step}" / "model.safetensors")
        assert light.keys() == full.keys()
        assert all(torch.equal(light[name], full[name].to(torch.bfloat16)) for name in full)


def test_stopped_and_resumed_has_the_same_points(small, small_corpus, tmp_path) -> None:
    recipe = small(train={"max_steps": 40, "timeline_checkpoints": 9})
    train_small(recipe, small_corpus, tmp_path / "whole")

    def stop(number: int) -> None:
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    train_small(recipe, small_corpus, tmp_path / "parts", at_evaluation=stop)
    (tmp_path / "parts" / "timeline" / "step-39.safetensors").touch()  # of steps that are lost
    train_small(recipe, small_corpus, tmp_path / "parts", resume=True)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    steps = timeline_steps(tmp_path / "whole")
    assert steps == timeline_steps(tmp_path / "parts") == points(9, 40)
    for step in steps:
        first, second = (load_file(timeline_file(tmp_path / name, step)) for name in ("whole", "parts"))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_point_that_cannot_be_written_is_left_out(small, small_corpus, tmp_path, caplog) -> None:
    (tmp_path / "timeline").touch()
    train_small(small(train={"max_steps": 4, "timeline_checkpoints": 3}), small_corpus, tmp_path)
    warned = [record.getMessage() for record in caplog.records if "timeline" in record.getMessage()]
    assert len(warned) == 3
    assert warned[0].startswith(f"cannot save {tmp_path}/timeline/step-1.safetensors: ")
    assert warned[0].endswith(". Training continues without this point of the timeline")


def test_the_disk_check_counts_them(small, small_corpus, tmp_path) -> None:
    shape, train = {"d_model": 64, "d_ff": 256}, {"max_steps": 12, "keep": 1}
    plain, run = small(model=shape, train=train), small(model=shape, train={**train, "timeline_checkpoints": 6})
    train_small(run, small_corpus, tmp_path)
    used = sum(path.stat().st_size for path in (tmp_path / "timeline").iterdir())
    assert run_bytes(run) - run_bytes(plain) == pytest.approx(used, rel=0.05)
    few = small(model=shape, train={**train, "timeline_checkpoints": 100})
    assert run_bytes(few) - run_bytes(plain) == pytest.approx(2 * used, rel=0.05)
