"""Room on the disk and in memory: the estimates against what runs really take, and what is proposed."""

from __future__ import annotations

import dataclasses
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.machine import limits
from talewright.train.memory import MemoryNeed
from talewright.train.preflight import check_disk, check_memory, preflight, run_bytes
from tests.train.conftest import train_small

MINI = load_recipe("mini-2m")
FULL = dataclasses.replace(MINI, train=dataclasses.replace(MINI.train, keep=10**6, max_steps=None, max_minutes=1.0))
"""More checkpoints than any disk holds."""


def test_a_run_takes_what_was_estimated(small, small_corpus, tmp_path):
    recipe = small(
        model={"d_model": 128, "d_ff": 512},
        train={"max_steps": 6, "checkpoint_every": 2, "evaluate_every": 2, "keep": 2},
    )
    train_small(recipe, small_corpus, tmp_path)
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    kept = len(list((tmp_path / "checkpoints").glob("step-*")))
    assert kept in (2, 3)
    assert used * (4 / kept) == pytest.approx(run_bytes(recipe) - 2**19, rel=0.05)  # and one that is being written


def test_room_on_the_disk_is_looked_at_before_and_what_is_there_counts(tmp_path):
    check_disk(MINI, tmp_path / "new" / "run")
    with pytest.raises(
        UserError, match=r"needs [\d,]+ bytes for its checkpoints and its log, and [\d,]+ are free there"
    ):
        check_disk(FULL, tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def proposed(message: str) -> tuple[int, int]:
    """The micro-batch and the accumulation that a message proposes."""
    found = re.search(r"--train.micro-batch (\d+) --train.accumulation (\d+) makes the same batches", message)
    assert found, message
    return int(found[1]), int(found[2])


def test_what_memory_does_not_hold_is_refused_with_what_it_would_hold():
    needed = MemoryNeed(MINI).needed()
    check_memory(MemoryNeed(MINI), needed)
    with pytest.raises(UserError, match="MiB are free") as refused:
        check_memory(MemoryNeed(MINI), needed - 1)
    micro_batch, accumulation = proposed(str(refused.value))
    assert micro_batch * accumulation == MINI.train.micro_batch * MINI.train.accumulation
    smaller = load_recipe("mini-2m", {"train.micro_batch": str(micro_batch), "train.accumulation": str(accumulation)})
    check_memory(MemoryNeed(smaller), needed - 1)
    with pytest.raises(UserError, match="a micro-batch of 1 needs more"):
        check_memory(MemoryNeed(MINI), 2**20)


def distributed_on_cpu() -> Any:
    fabric = SimpleNamespace(device=torch.device("cpu"), world_size=1)
    return SimpleNamespace(fabric=fabric, precision="fp32", per_node=1)


def test_force_trains_what_is_estimated_not_to_fit(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(limits, "memory_available", lambda processes=1: 2**20)
    with pytest.raises(UserError, match=r"shorter context. --force trains anyway$"):
        preflight(MINI, distributed_on_cpu(), None)
    preflight(MINI, distributed_on_cpu(), None, force=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "MiB are free" in caplog.text


@pytest.mark.parametrize(("available", "refused"), [(None, False), (0, True), (2**50, False)])
def test_unknown_memory_is_not_refused_and_none_is(available, refused, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "memory_available", lambda processes=1: available)
    with pytest.raises(UserError) if refused else nullcontext():
        preflight(MINI, distributed_on_cpu(), None)
