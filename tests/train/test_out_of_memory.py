"""Memory that runs out during training becomes one sentence."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.train import memory, out_of_memory
from talewright.train.memory import MemoryNeed
from talewright.train.out_of_memory import explain_out_of_memory
from tests.train.test_preflight import distributed_on_cpu, proposed

MINI = load_recipe("mini-2m")
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB, other allocations: 2 GB, max allowed: 3 GB)"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    MemoryError("Unable to allocate 1 GiB for an array"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


def message(error: Exception, run: Any, available: int | None, monkeypatch: pytest.MonkeyPatch) -> str:
    def train() -> None:
        monkeypatch.setattr(memory, "memory_available", lambda processes=1: available)
        with explain_out_of_memory(MINI, distributed_on_cpu(), run, None):
            monkeypatch.setattr(memory, "memory_available", lambda processes=1: 0)  # what was free before counts
            raise error

    with pytest.raises(UserError) as explained:
        train()
    return str(explained.value)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_every_error_for_want_of_memory_is_explained(error, tmp_path, monkeypatch):
    needed = MemoryNeed(MINI).needed()
    said = message(error, tmp_path, needed, monkeypatch)
    assert "ran out of memory of" in said
    assert "Nothing is saved yet" in said
    assert "--resume" not in said
    micro_batch, accumulation = proposed(said)
    assert micro_batch * accumulation == MINI.train.micro_batch * MINI.train.accumulation
    smaller = load_recipe("mini-2m", {"train.micro_batch": str(micro_batch), "train.accumulation": str(accumulation)})
    assert MemoryNeed(smaller).needed() < out_of_memory.MARGIN * needed


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.ENOSPC, "full"), KeyError("memory")])
def test_other_errors_pass(error, tmp_path):
    with pytest.raises(type(error)) as passed, explain_out_of_memory(MINI, distributed_on_cpu(), tmp_path, None):
        raise error
    assert passed.value is error


def test_what_is_saved_is_named_with_the_command_that_resumes(tmp_path, monkeypatch):
    for step in (8, 120):
        (tmp_path / "checkpoints" / f"step-{step}").mkdir(parents=True)
    (tmp_path / "recipe.yaml").touch()
    said = message(MemoryError(), tmp_path, None, monkeypatch)
    assert "The newest checkpoint is step 120" in said
    assert f"--resume {tmp_path} --train.micro-batch" in said


def test_more_memory_than_estimated_still_halves_the_batch_and_less_may_leave_none(tmp_path, monkeypatch):
    """An estimate that was too low says nothing about what would fit, except less."""
    micro_batch, _ = proposed(message(MemoryError(), tmp_path, 2**50, monkeypatch))
    assert micro_batch == MINI.train.micro_batch // 2
    assert "a smaller one would not fit" in message(MemoryError(), tmp_path, 2**20, monkeypatch)


def test_a_gpu_runs_out_of_its_own_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    fabric = SimpleNamespace(device=torch.device("cuda", 0), world_size=1)
    distributed: Any = SimpleNamespace(fabric=fabric, precision="bf16")
    with (
        pytest.raises(UserError, match="ran out of the GPU's memory of 1,024 MiB with a micro-batch of 16"),
        explain_out_of_memory(MINI, distributed, tmp_path, None),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
