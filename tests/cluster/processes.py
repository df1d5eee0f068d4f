"""Real trainings in processes of their own, and what they logged."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from talewright.run.log import read_log
from tests.train.conftest import write_stories

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300.0
"""How long a process may take to start and to train: on an idle machine 10 to 20 s, on a busy one far longer."""
RECIPE = """
model: {n_layers: 1, n_heads: 2, d_model: 32, d_ff: 64, vocab_size: 300, context_length: 32}
data: {splits: [80, 20]}
train: {micro_batch: 4, accumulation: 2, max_steps: 60, evaluate_every: 20, evaluate_stories: 4, checkpoint_every: 10,
  precision: fp32, accelerator: cpu, compile: false, prompts: [Once]}
"""


class Workplace:
    """A folder with stories and a recipe, in which trainings run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Process] = []
        write_stories(folder / "stories.txt", 100)
        (folder / "small.yaml").write_text(RECIPE)
        (folder / "talewright").write_text(f'#!/bin/sh\nexec {sys.executable} -m talewright "$@"\n')
        (folder / "talewright").chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PET_"))},
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "TALEWRIGHT_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def options(self, run: str, *more: str) -> list[str]:
        """The options of `train` for a run of this name."""
        return ["--recipe", "small.yaml", "--data", "stories.txt", "--out", run, *more]

    def start(self, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start a command in a session of its own, so that it can be killed with all it started."""
        output = (self.folder / f"{name}.out").open("w")
        values = {**self.environment, **(environment or {})}
        started = subprocess.Popen(
            command, cwd=self.folder, env=values, stdout=output, stderr=output, start_new_session=True
        )
        self.started.append(Process(started, output))
        return self.started[-1]

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self.started:
            if process.started.poll() is None:
                process.kill()

    def run_alone(self, run: str, *more: str) -> None:
        """Train in one process, to the end."""
        command = [sys.executable, "-m", "talewright", "train", *self.options(run, *more)]
        process = self.start(command, run)
        assert process.wait(SECONDS) == 0, process.said()

    def losses(self, run: str) -> list[tuple[int, float]]:
        """Step and loss of all steps and evaluations."""
        path = self.folder / run / "log.jsonl"
        events = list(read_log(path)) if path.exists() else []
        return [(event["step"], event["loss"]) for event in events if event["event"] in ("step", "evaluation")]

    def wait_for_step(self, run: str, step: int) -> None:
        wait_until(lambda: any(n >= step for n, _ in self.losses(run)), SECONDS, f"{run} is at step {step}")


class Process:
    """A process that was started, and all that it starts in turn."""

    def __init__(self, started: subprocess.Popen[bytes], output: IO[str]) -> None:
        self.started, self.output = started, output

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended; kills it and fails if it does not within `seconds`."""
        try:
            return self.started.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"still running after {seconds} s:\n{self.said()}")

    def kill(self) -> None:
        """End it and all that it started at once; its connections are closed, as the kernel does."""
        for pid in [self.started.pid, *self.workers()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.started.wait()

    def workers(self) -> list[int]:
        """The processes that it started, directly or not."""
        found, waiting = [], [self.started.pid]
        while waiting:
            children = Path(f"/proc/{(pid := waiting.pop())}/task/{pid}/children")
            waiting += map(int, children.read_text().split()) if children.exists() else []
            found += [pid]
        return found[1:]

    def said(self) -> str:
        return Path(self.output.name).read_text(errors="replace")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until the condition holds; fail with what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
