"""Real processes over gloo, started by torchrun, that share a run: their errors, signals and deaths."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from talewright.run.lock import lock_run
from talewright.run.log import read_log
from tests.train.conftest import write_stories

pytestmark = pytest.mark.slow
RECIPE = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 16}
data: {splits: [80, 20]}
train: {micro_batch: 4, accumulation: 2, max_steps: STEPS, evaluate_every: 20, checkpoint_every: 5, precision: fp32,
  accelerator: cpu, compile: false, prompts: []}
"""
STEPS = 40
LONG = ["--max-steps", "100000"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TRAIN = ["-m", "talewright", "train", "--recipe", "two.yaml", "--data", "stories.txt", "--out", "run"]
SECONDS = 300.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_stories(tmp_path / "stories.txt", 100)
    (tmp_path / "two.yaml").write_text(RECIPE.replace("STEPS", str(STEPS)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command in a session of its own; whatever is left of it is killed at the end."""
    processes: list[subprocess.Popen[str]] = []

    def begin(command: list[str], **environment: str) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a process and all that it printed, without what torchrun says itself."""
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def wait_for_step(step: int) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(event.get("step", 0) >= step for event in read_log(Path("run/log.jsonl"))):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def workers(of: subprocess.Popen[str]) -> dict[str, int]:
    """The processes that train, by their rank: those that torchrun started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            variables = dict(
                entry.split("=", 1) for entry in (folder / "environ").read_text().split("\0") if "=" in entry
            )
        except OSError:
            continue
        if parent == of.pid:
            found[variables["RANK"]] = int(folder.name)
    return found


def losses() -> dict[int, float]:
    return {event["step"]: event["loss"] for event in read_log(Path("run/log.jsonl")) if event["event"] == "step"}


def single_process_losses(start: Callable[..., subprocess.Popen[str]]) -> dict[int, float]:
    code, output = ended(start([sys.executable, *TRAIN]))
    assert code == 0, output
    found = losses()
    Path("run").rename("alone")
    return found


def test_the_same_command_begins_continues_and_ends(start):
    alone = single_process_losses(start)
    command = [*TORCHRUN, *TRAIN, "--resume", "auto"]
    first = start(command)
    wait_for_step(10)
    os.kill(first.pid, signal.SIGTERM)
    code, output = ended(first)
    assert code != 0
    assert output.count("stopped at step") == 1, output
    assert "Traceback (most recent call last)" not in output.split("torch/distributed")[0]
    for expected in ("resuming after step", "is finished"):
        code, output = ended(start(command))
        assert code == 0, output
        assert output.count(expected) == 1
    assert output.count("2 processes on 1 node, started by torchrun") == 1
    assert losses() == pytest.approx(alone, rel=1e-5)


def test_a_killed_process_is_replaced_and_the_losses_are_those_of_an_undisturbed_run(start):
    alone = single_process_losses(start)
    process = start([*TORCHRUN, "--max-restarts", "3", *TRAIN, "--resume", "auto"])
    wait_for_step(12)
    os.kill(workers(process)["1"], signal.SIGKILL)
    code, output = ended(process)
    assert code == 0, output
    assert "resuming after step" in output
    assert losses() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("killed", ["0", "1"])
def test_when_a_process_is_killed_the_other_ends_with_a_sentence(start, killed):
    """Without a launcher that would end it first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, *TRAIN, *LONG, "--resume", "auto"]
    both = {rank: start(command, RANK=rank, **shared) for rank in ("0", "1")}
    wait_for_step(12)
    both[killed].kill()
    killed_at = time.monotonic()
    code, output = ended(both["1" if killed == "0" else "0"])
    assert time.monotonic() - killed_at < 20
    assert code == 1
    assert "Traceback" not in output
    assert re.search(r"talewright: lost the connection to another process; the newest checkpoint is step \d+;", output)
    assert "to continue, give the same command with --out run --resume auto" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_waits_for_another_says_so_and_obeys_a_signal(start, number):
    process = start([sys.executable, *TRAIN], RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="29441")
    assert process.stdout is not None
    assert any("waiting for the other process at 127.0.0.1:29441" in line for line in process.stdout)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == -number
    assert not Path("run").exists()


def fails(start: Callable[..., subprocess.Popen[str]], message: str, *options: str) -> None:
    """Two processes end with that sentence, said once, and code 2."""
    code, output = ended(start([*TORCHRUN, *TRAIN, *options]))
    assert code != 0
    assert output.count("talewright: ") == 1, output
    assert message in output
    assert output.count("exitcode: 2") >= 1 or output.count("exitcode  : 2") >= 1, output


def test_what_only_the_main_process_sees_ends_all(start):
    with lock_run(Path("run")):
        fails(start, "is training in run")
    code, output = ended(start([sys.executable, *TRAIN]))
    assert code == 0, output
    for weights in Path("run/checkpoints").glob("step-*/model.safetensors"):
        weights.write_bytes(b"damaged")
    fails(start, "every checkpoint of run is damaged", "--resume", "auto", *LONG)


def test_bad_data_ends_all(start):
    Path("stories.txt").write_text("")
    fails(start, "stories.txt")


def test_weights_of_another_run_with_an_average_and_patience(start):
    """Both processes begin from initial/, score the same model, and run out of patience together."""
    code, output = ended(start([sys.executable, *TRAIN]))
    assert code == 0, output
    Path("run").rename("first")
    options = ["--init-from", "first", "--train.average", "0.9", "--train.patience", "1", "--train.evaluate-every", "2"]
    options += ["--train.learning-rate", "0.3", "--schedule.warmup-steps", "0"]  # which soon makes it worse
    scored = {}
    for command in ([sys.executable], TORCHRUN):
        code, output = ended(start([*command, *TRAIN, *options]))
        assert code == 0, output
        assert "without a lower validation loss" in output
        events = [event for event in read_log(Path("run/log.jsonl")) if event["event"] == "evaluation"]
        scored[len(command)] = [event["loss"] for event in events]
        Path("run").rename(f"run-{len(command)}")
    one, two = scored.values()
    assert two[0] == pytest.approx(one[0], rel=1e-6)
    assert two == pytest.approx(one, rel=1e-2)
