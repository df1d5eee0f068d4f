"""The estimate of the memory that training needs, against what runs really take."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import Recipe, load_recipe
from talewright.evaluate import likelihood
from talewright.model.attention import blocked_attention
from talewright.model.cost import BLOCK, count_parameters
from talewright.train import memory
from talewright.train.memory import MemoryNeed, training_bytes

MINI = load_recipe("mini-2m")
CUDA, CPU, MPS = torch.device("cuda", 0), torch.device("cpu"), torch.device("mps")


def with_batch(micro_batch: int, accumulation: int, processes: int = 1, nodes: int = 1) -> Recipe:
    values = {"micro_batch": micro_batch, "accumulation": accumulation, "devices": processes // nodes, "nodes": nodes}
    return load_recipe("mini-2m", {f"train.{name}": str(value) for name, value in values.items()})


def test_a_teacher_takes_memory_too():
    teacher = load_recipe("tinystories-8m").model
    more = MemoryNeed(MINI, teacher=teacher).needed() - MemoryNeed(MINI).needed()
    assert more > 4 * count_parameters(teacher).total


def test_the_processes_of_a_node_share_its_memory():
    """Each has a share of the batch, and a copy of its gradients that travels."""
    buckets = 4 * count_parameters(MINI.model).total
    half = with_batch(8, 1)
    alone = training_bytes(half, "fp32")
    assert MemoryNeed(with_batch(16, 1, 2), world_size=2, per_node=2).needed() == 2 * (alone + buckets)
    assert MemoryNeed(with_batch(8, 2, 2), world_size=2, per_node=2).needed() == 2 * (alone + buckets)
    assert MemoryNeed(with_batch(8, 4, 4, nodes=2), world_size=4, per_node=2).needed() == 2 * (alone + buckets)
    on_gpu = MemoryNeed(with_batch(8, 2, 2), "bf16", CUDA, world_size=2).needed()
    assert on_gpu == training_bytes(half, "bf16", device="cuda") + buckets


@given(
    micro_batch=st.integers(1, 24),
    accumulation=st.integers(1, 8),
    world_size=st.integers(1, 4),
    device=st.sampled_from([CPU, CUDA, MPS]),
    fraction=st.floats(0.1, 1),
)
def test_the_smaller_batch_is_the_largest_that_fits_and_makes_the_same_batch(
    micro_batch, accumulation, world_size, device, fraction
):
    if accumulation % world_size and micro_batch % world_size:
        return  # refused by the recipe
    need = MemoryNeed(with_batch(micro_batch, accumulation, world_size), "bf16", device, world_size=world_size)
    limit = fraction * need.needed()

    def fits(smaller: int) -> bool:
        accumulated, rest = divmod(micro_batch * accumulation, smaller)
        if micro_batch % smaller or rest or (accumulated % world_size and smaller % world_size):
            return False
        recipe = with_batch(smaller, accumulated, world_size)
        return dataclasses.replace(need, recipe=recipe).needed() <= limit

    fitting = [smaller for smaller in range(1, micro_batch) if fits(smaller)]
    found = need.smaller_batch(limit)
    assert (found and found.micro_batch) == (max(fitting) if fitting else None)
    if found:
        assert found.micro_batch * found.accumulation == micro_batch * accumulation
        assert found.needed <= limit


def test_a_gpu_needs_less_than_a_cpus_heap_and_an_apple_gpu_holds_the_scores():
    long = load_recipe("mini-2m", {"model.context_length": "2048"})
    cpu, cuda, mps = (training_bytes(long, "fp32", device=device) for device in ("cpu", "cuda", "mps"))
    scores = 4 * long.train.micro_batch * long.model.n_layers * long.model.n_heads * 2048**2
    assert cuda < cpu
    assert mps - cuda > 0.9 * scores


def test_muon_needs_memory_for_its_updates():
    """With one short sequence, the update is the largest peak."""
    wide = load_recipe("story-125m", {"train.micro_batch": "1", "data.sequence_length": "16"})
    adam = dataclasses.replace(wide, optimizer=dataclasses.replace(wide.optimizer, kind="adamw"))
    blocks = count_parameters(wide.model).blocks
    state = memory.state_bytes(adam) - memory.state_bytes(wide)
    assert training_bytes(wide, "fp32") + state - training_bytes(adam, "fp32") > 3 * blocks


def test_the_estimate_knows_how_many_tokens_an_evaluation_reads_and_the_blocks_of_attention() -> None:
    assert memory.EVALUATION_TOKENS == likelihood.BATCH_TOKENS
    assert inspect.signature(blocked_attention).parameters["block"].default == BLOCK


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
