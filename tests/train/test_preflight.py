"""Room on the disk and in memory: the estimates against what runs really take, and what is proposed."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.evaluate import likelihood
from talewright.machine.limits import memory_available
from talewright.model.cost import count_parameters
from talewright.train import preflight
from talewright.train.preflight import check_disk, check_memory, run_bytes, training_bytes
from tests.train.conftest import train_small

MINI = load_recipe("mini-2m")


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
    large = dataclasses.replace(
        MINI, train=dataclasses.replace(MINI.train, keep=10**6, max_steps=None, max_minutes=1.0)
    )
    with pytest.raises(
        UserError, match=r"needs [\d,]+ bytes for its checkpoints and its log, and [\d,]+ are free there"
    ):
        check_disk(large, tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_what_memory_does_not_hold_is_refused_with_what_it_would_hold():
    needed = training_bytes(MINI, "fp32")
    check_memory(MINI, "fp32", available=needed)
    with pytest.raises(UserError, match="MiB are free") as refused:
        check_memory(MINI, "fp32", available=needed - 1)
    found = re.search(
        r"--train.micro-batch (\d+) --train.accumulation (\d+) makes the same batches", str(refused.value)
    )
    assert found
    micro_batch, accumulation = map(int, found.groups())
    assert micro_batch * accumulation == MINI.train.micro_batch * MINI.train.accumulation
    proposed = load_recipe("mini-2m", {"train.micro_batch": str(micro_batch), "train.accumulation": str(accumulation)})
    check_memory(proposed, "fp32", available=needed - 1)
    with pytest.raises(UserError, match="a micro-batch of 1 needs"):
        check_memory(MINI, "fp32", available=2**20)


def test_memory_is_that_of_the_machine_or_of_the_container_whichever_is_less(tmp_path, monkeypatch):
    if not Path("/proc/meminfo").exists():
        pytest.skip("this system does not say how much memory is free")
    monkeypatch.setattr("talewright.machine.limits.CGROUP", tmp_path)
    free = memory_available()
    assert free is not None
    assert free > 2**20
    (tmp_path / "memory.max").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\nfile 500000\n")
    assert memory_available() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_available() is not None


def test_a_teacher_takes_memory_too():
    teacher = load_recipe("tinystories-8m").model
    more = training_bytes(MINI, "fp32", teacher) - training_bytes(MINI, "fp32")
    assert more > 4 * count_parameters(teacher).total
    with pytest.raises(UserError, match="MiB are free"):
        check_memory(MINI, "fp32", available=training_bytes(MINI, "fp32"), teacher=teacher)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("name", ["quickstart", "mini-2m", "tinystories-8m", "llama2c-15m", "mini-2m tinystories-8m"])
def test_training_takes_the_memory_that_was_estimated(name, precision):
    """Of two names, the second one's model is the first one's teacher."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process held")
    name, *teacher = name.split()
    command = [sys.executable, "-m", "tests.train.measured", name, precision, *teacher]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["before"] + found["estimate"] == pytest.approx(found["most"], rel=0.2)


def test_the_estimate_knows_how_many_tokens_an_evaluation_reads() -> None:
    assert preflight.EVALUATION_TOKENS == likelihood.BATCH_TOKENS
