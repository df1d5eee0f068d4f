"""Real signals to real processes, each `talewright` itself, at a moment that surely lies within a phase of its work.

python -m tests.train.stopping FOLDER < cases.json

A case is `{"phase": ..., "signals": [...]}`. The phase is made to last, so that the signals come within it. Prints of
each case the exit code, the seconds from the last signal to the end, what was said, what checkpoints there are, and,
the run having been resumed, how it differs from one that was never stopped. All processes are forked from one that has
everything imported.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from benchmarks.killed import differences

import talewright.data.preparation.builder
import talewright.train.trainer
from talewright.cli import main as talewright_main
from talewright.run.retention import steps
from talewright.train import metrics
from talewright.train.hooks import Hooks
from tests.train.conftest import write_stories

RECIPE = """
model: {n_layers: 1, n_heads: 2, d_model: 8, d_ff: 16, vocab_size: 300, context_length: 16, dropout: 0.1}
data: {splits: [80, 20]}
train: {learning_rate: 1e-2, micro_batch: 4, accumulation: 2, max_steps: 20, evaluate_every: 5, evaluate_stories: 4,
  checkpoint_every: 4, precision: fp32, accelerator: cpu, compile: false, prompts: [Once]}
"""
PHASES: dict[str, tuple[Any, str, int, float]] = {
    "gradient": (talewright.train.trainer.Trainer, "compute_gradient", 7, 20.0),
    "evaluation": (Hooks, "score", 3, 20.0),
    "sample": (Hooks, "sample", 3, 20.0),
    "last evaluation": (Hooks, "score", 5, 20.0),
    "save": (safetensors.torch, "save_file", 3, 1.0),
    "preparation": (talewright.data.preparation.builder, "tokenize_stories", 1, 20.0),
}
"""Of each phase: the function it is in, which call of it is made to last, and how many seconds."""


def main(folder: Path, cases: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    metrics.known_peak = lambda device, precision: 1e12
    os.environ["TALEWRIGHT_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    write_stories(Path("stories.txt"), 100)
    Path("small.yaml").write_text(RECIPE)
    assert wait(start(["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "whole"], "whole")) == 0
    print(json.dumps([found(number, case) for number, case in enumerate(cases)]))


def found(number: int, case: dict[str, Any]) -> dict[str, Any]:
    """What comes of one case."""
    run, marker = f"run-{number}", Path(f"marker-{number}")
    command = ["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", run]
    if case["phase"] == "preparation":
        command += ["--data.min-chars", "21"]  # so that the stories are prepared again
    child = start(command, run, lambda: make_it_last(case["phase"], marker))
    while not marker.exists():
        assert os.waitpid(child, os.WNOHANG)[0] == 0, Path(f"{run}.err").read_text()
        time.sleep(0.01)
    for name in case["signals"]:
        time.sleep(0.1)
        os.kill(child, getattr(signal, name))
    begun = time.perf_counter()
    result: dict[str, Any] = {"code": wait(child), "seconds": time.perf_counter() - begun}
    result["said"] = Path(f"{run}.err").read_text()
    result["steps"] = steps(Path(run))
    if (Path(run) / "recipe.yaml").exists():
        assert wait(start(["train", "--resume", run], run)) == 0
        result["differs"] = differences(Path("whole"), Path(run))
    return result


def start(command: list[str], name: str, prepare: Callable[[], None] = lambda: None) -> int:
    """A process of its own that runs `talewright`. Returns its number."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
        for stream, suffix in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{name}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        prepare()
        talewright_main(command)
        code = 0
    except SystemExit as left:
        code = left.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make_it_last(phase: str, marker: Path) -> None:
    """Have a call of the phase's function wait, within it, and say by a file that it does."""
    place, name, number, seconds = PHASES[phase]
    function, left = getattr(place, name), number

    def call(*values: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            marker.touch()
            time.sleep(seconds)
        return function(*values, **options)

    setattr(place, name, call)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
