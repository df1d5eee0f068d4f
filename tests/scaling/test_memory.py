"""The memory of trials that train at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.scaling.sweep import memory
from talewright.scaling.sweep.memory import PROGRAM_BYTES, check_memory_of_jobs
from talewright.scaling.sweep.reading import Sweep, read_sweep
from talewright.train.memory import training_bytes

SWEEP = "recipe: mini-2m\nset: {train.precision: fp32, train.accelerator: cpu}\nvary: {train.micro_batch: [4, 32, 8]}\n"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return read_sweep(path)


def test_jobs_that_do_not_fit_together_are_refused_with_the_number_that_does(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest trial counts."""
    each = PROGRAM_BYTES + training_bytes(load_recipe("mini-2m", {"train.micro_batch": "32"}), "fp32")
    monkeypatch.setattr(memory, "memory_available", lambda processes: 4 * each - 1)
    with pytest.raises(UserError, match=re.escape("Use --jobs 3")):
        check_memory_of_jobs(sweep, 4)
    check_memory_of_jobs(sweep, 3)


def test_one_job_is_left_to_its_own_check_and_unknown_memory_is_not_refused(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_available", lambda processes: 1)
    check_memory_of_jobs(sweep, 1)
    with pytest.raises(UserError, match="Use --jobs 1"):
        check_memory_of_jobs(sweep, 2)
    monkeypatch.setattr(memory, "memory_available", lambda processes: None)
    check_memory_of_jobs(sweep, 2)
