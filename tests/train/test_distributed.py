from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from talewright.errors import LostProcessError, UserError
from talewright.run.log import read_log
from talewright.train import distributed as distributed_module
from talewright.train.distributed import DistributedContext, attempt, launch, meeting_name, per_rank_batch
from talewright.train.evaluation import score_in_parts
from talewright.train.signals import Stopped
from tests.train.conftest import write_stories

TORCHRUN = {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


def test_processes_that_start_again_do_not_meet_those_before_them():
    """In a store that holds what three generations of processes wrote, the last of which died in the middle."""
    store, names = cast(Any, dist).HashStore(), []

    def process(rank: int, found: dict[int, str]) -> None:
        found[rank] = meeting_name(store, rank, 4)

    for _ in range(3):
        found: dict[int, str] = {}
        threads = [threading.Thread(target=process, args=(rank, found)) for rank in (3, 1, 0, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(found) == [0, 1, 2, 3]
        (name,) = set(found.values())
        names.append(name)
        store.set("word of 2", "left by one that died before it was answered")
    assert len(set(names)) == 3


@pytest.fixture
def together(monkeypatch) -> Callable[..., list[Any]]:
    """Calls a function with the context of each of several processes, here threads, and returns what came of each."""

    def run(function: Callable[[DistributedContext], Any], processes: int = 3, signals: dict[int, int] = {}) -> list:  # noqa: B006
        results: list[Any] = [None] * processes
        shared: list[Any] = [None] * processes
        meeting = threading.Barrier(processes)

        def gather(self: DistributedContext, value: Any) -> list[Any]:
            shared[self.fabric.global_rank] = value
            meeting.wait(10)
            everything = list(shared)
            meeting.wait(10)
            return everything

        def process(rank: int) -> None:
            fabric = SimpleNamespace(world_size=processes, global_rank=rank, is_global_zero=rank == 0)
            context = DistributedContext(cast(Any, fabric), "fp32")
            context.stop.number = signals.get(rank)
            try:
                results[rank] = function(context)
            except (UserError, Stopped) as error:
                results[rank] = error

        monkeypatch.setattr(DistributedContext, "_gather", gather)
        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run


def fail(message: str) -> Any:
    raise UserError(message)


def test_the_main_process_decides(together):
    assert together(lambda context: context.decide(lambda: context.fabric.global_rank + 7)) == [7, 7, 7]
    assert [str(error) for error in together(lambda context: context.decide(lambda: fail("full")))] == ["full"] * 3


def test_what_fails_in_one_process_fails_in_all(together):
    def work(context: DistributedContext) -> int:
        return fail("no such file") if context.fabric.global_rank == 1 else context.fabric.global_rank

    assert together(lambda context: context.agree(attempt(lambda: work(context))), 1) == [0]
    said = [str(error) for error in together(lambda context: context.agree(attempt(lambda: work(context))))]
    assert said == [f"process 1 on {socket.gethostname()}: no such file"] * 3
    assert together(lambda context: context.agree(lambda: {context.fabric.global_rank})) == [{0}, {1}, {2}]


def test_a_signal_that_one_process_received_stops_all(together):
    stopped = together(lambda context: context.decide(lambda: 1), signals={2: 15})
    assert [error.number for error in stopped] == [15] * 3


def test_values_are_gathered_as_json(monkeypatch):
    dist.init_process_group("gloo", store=cast(Any, dist).HashStore(), rank=0, world_size=1)
    try:
        context = DistributedContext(cast(Any, SimpleNamespace(device=torch.device("cpu"), world_size=1)), "fp32")
        value = {"number": 0.1, "text": "größer", "nothing": None}
        assert context._gather(value) == [value]
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_evaluation_in_parts_is_that_of_the_whole(together, count):
    """With more processes than stories, too. The figures are means over tokens, or over bytes."""
    draw = np.random.default_rng(0)
    stories = [draw.integers(0, 9, length) for length in (3, 1, 8, 5)][: 3 if count == 5 else 4]
    sizes = np.array([30, 4, 90, 41])[: len(stories)]

    def evaluate(some: list[np.ndarray], some_sizes: np.ndarray) -> Any:
        nats, tokens = sum(float(story.sum()) for story in some), sum(len(story) + 1 for story in some)
        bits = nats / np.log(2) / some_sizes.sum()
        loss, correct = nats / tokens, sum(int((story > 4).sum()) for story in some) / tokens
        return SimpleNamespace(loss=loss, perplexity=np.exp(loss), bits_per_byte=bits, token_accuracy=correct)

    whole = vars(evaluate(stories, sizes))
    scores = together(lambda context: score_in_parts(evaluate, stories, sizes, context), count)
    assert len(scores) == count
    assert scores[1:] == scores[:-1]
    assert vars(scores[0]) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"), True),
        (dist.DistBackendError("NCCL error in: ...: remote process exited or there was a network error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_only_a_lost_connection_is_called_one(tmp_path, error, lost):
    context = DistributedContext(cast(Any, SimpleNamespace(world_size=2)), "fp32")
    (tmp_path / "checkpoints" / "step-1200").mkdir(parents=True)
    message = (
        f"the newest checkpoint is step 1,200; to continue, give the same command with --out {tmp_path} --resume auto"
    )
    expected = pytest.raises(LostProcessError, match=message) if lost else pytest.raises(RuntimeError, match="mat1")
    with expected, context.explain_lost_process(Path(tmp_path)):
        raise error


def test_processes_that_cannot_share_the_batch_are_refused(small, monkeypatch):
    for name, value in {
        **TORCHRUN,
        "LOCAL_WORLD_SIZE": "3",
        "RANK": "1",
        "WORLD_SIZE": "3",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    message = (
        "3 processes on 1 node, started by torchrun: 3 divides neither train.accumulation 2 nor train.micro_batch 4"
    )
    with pytest.raises(UserError, match=message):
        launch(small())


def test_a_recipe_for_several_nodes_names_what_it_lacks(small, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match=r"train.nodes is 2: start with torchrun, srun or Kubeflow, or set MASTER_ADDR"):
        launch(small(train={"nodes": 2}))


def test_a_process_that_finds_no_other_names_the_address(small, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in {**TORCHRUN, "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed_module, "JOIN_TIMEOUT", distributed_module.timedelta(seconds=1))
    with pytest.raises(UserError, match=f"cannot reach the other process at 127.0.0.1:{port}: "):
        launch(small())


@pytest.mark.parametrize(("visible", "device"), [(1, "cuda:0"), (2, "cuda:1")])
def test_a_process_that_sees_only_its_own_gpu_uses_it(small, monkeypatch, visible, device):
    for name, value in {**TORCHRUN, "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    recipe = small(train={"accelerator": "cuda"})
    fabric = distributed_module._fabric(recipe, 2, 1, TorchElasticEnvironment())
    assert (str(fabric.device), fabric.world_size, fabric.global_rank) == (device, 2, 1)


def test_all_processes_together_make_the_recipes_batch(small):
    recipe = small(train={"micro_batch": 6, "accumulation": 4})
    assert per_rank_batch(recipe, 1) == (6, 4)
    assert per_rank_batch(recipe, 2) == (6, 2)
    assert per_rank_batch(recipe, 3) == (2, 4)


TWO = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 16}
data: {splits: [80, 20]}
train: {micro_batch: 4, accumulation: 2, max_steps: 6, evaluate_every: 3, checkpoint_every: 3, precision: fp32,
  accelerator: cpu, compile: false}
"""


@pytest.mark.slow
def test_two_processes_train_and_resume_like_one(tmp_path):
    """Real processes over gloo: the same losses but for rounding, one log, and a run that resumes."""
    write_stories(tmp_path / "stories.txt", 100)
    (tmp_path / "two.yaml").write_text(TWO)
    environment = {**os.environ, "TALEWRIGHT_CACHE": "cache", "OMP_NUM_THREADS": "1"}

    def train(*options):
        command = [sys.executable, "-m", "talewright", "train", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for processes in ("1", "2"):
        options = ["--recipe", "two.yaml", "--data", "stories.txt", "--out", processes]
        train(*options, "--train.devices", processes)
        train("--resume", processes, "--max-steps", "9")
    one, two = (
        [event["loss"] for event in read_log(tmp_path / name / "log.jsonl") if event["event"] in ("step", "evaluation")]
        for name in ("1", "2")
    )
    assert len(one) == 9 + 4  # one evaluation of the untrained model
    assert two == pytest.approx(one, rel=1e-5)
