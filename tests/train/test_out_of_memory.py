"""Memory that runs out during training becomes one sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.machine import limits
from talewright.train import out_of_memory
from talewright.train.memory import MemoryNeed
from talewright.train.out_of_memory import explain_out_of_memory
from tests.train.conftest import write_stories
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
        monkeypatch.setattr(limits, "memory_available", lambda processes=1: available)
        with explain_out_of_memory(MINI, distributed_on_cpu(), run, None):
            monkeypatch.setattr(limits, "memory_available", lambda processes=1: 0)  # what was free before counts
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
    distributed: Any = SimpleNamespace(fabric=fabric, precision="bf16", per_node=1)
    with (
        pytest.raises(UserError, match="ran out of the GPU's memory of 1,024 MiB with a micro-batch of 16"),
        explain_out_of_memory(MINI, distributed, tmp_path, None),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.slow
@pytest.mark.parametrize("forced", [False, True])
def test_a_real_run_within_a_small_address_space_ends_in_one_sentence(forced, tmp_path):
    """Without force the estimate refuses it; with force the allocator does, in the middle of a batch."""
    if sys.platform != "linux":
        pytest.skip("only Linux enforces a limit of the address space")
    script = (
        "import resource, sys, torch, talewright.api, talewright.train.session\n"
        "from talewright.cli import main\n"
        "torch.set_num_threads(1)\n"
        "held = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmSize')) << 10\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + (700 << 20), resource.RLIM_INFINITY))\n"
        "main(sys.argv[1:])"
    )
    stories = write_stories(tmp_path / "stories.txt", 400)
    words = ["train", "--recipe", "mini-2m", "--data", str(stories), "--out", str(tmp_path / "run"), "--max-steps", "2"]
    words += ["--train.micro-batch", "64", "--train.compile", "false", "--train.evaluate-stories", "4"]
    words += ["--model.vocab-size", "600", "--train.precision", "fp32", *["--force"] * forced]
    environment = {**os.environ, "TALEWRIGHT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = " ".join(done.stderr.split("talewright: ")[-1].split())
    micro_batch, accumulation = proposed(last)
    assert micro_batch * accumulation == 64 * MINI.train.accumulation
    assert ("ran out of memory" in last) == forced
    assert ("--force trains anyway" in last) == (not forced)
    assert ("Nothing is saved yet" in last or "newest checkpoint" in last) == forced
