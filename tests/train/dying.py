"""Lives of one run: each is a process that SIGKILL ends at a given moment; the next one resumes the run.

python -m tests.train.dying FOLDER < moments.json

A moment is `{"calls": n}`, the n-th time that anything is done to the disk, or `{"seconds": s}`. All lives are forked
from one process that has everything imported and prepared; a process of its own for each would take its imports' time.
Prints, of each life, whether it was killed within a save, and every fault that was found on the disk after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from rich.console import Console

from talewright.config import Recipe, recipe_from_dict
from talewright.data import Corpus, prepare
from talewright.evaluate.likelihood import score_stories
from talewright.run.checkpoint import check
from talewright.run.retention import steps
from talewright.train import metrics
from talewright.train.distributed import launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import fit
from talewright.train.progress import TrainingProgress
from tests.train.conftest import batches_of, write_stories

RECIPE: dict[str, Any] = {
    "name": "dying",
    "seed": 5,
    "model": {"n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 16, "vocab_size": 300, "context_length": 16},
    "schedule": {"kind": "cosine", "warmup_steps": 3},
    "train": {
        "learning_rate": 1e-2,
        "micro_batch": 4,
        "accumulation": 2,
        "max_steps": 40,  # past the end of an epoch
        "evaluate_every": 3,
        "evaluate_stories": 4,
        "checkpoint_every": 2,
        "keep": 1,
        "patience": 30,
        "precision": "fp32",
        "accelerator": "cpu",
        "compile": False,
    },
}
DISK = [(os, name) for name in ("fsync", "pwrite", "rename", "replace", "mkdir", "rmdir", "unlink", "ftruncate")]


def main(folder: Path, moments: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    metrics.known_peak = lambda device, precision: 1e12
    source = write_stories(folder / "stories.txt", 100)
    RECIPE["data"] = {"source": str(source), "splits": [80, 20]}
    RECIPE["model"]["dropout"] = 0.1
    recipe = recipe_from_dict(RECIPE)
    corpus = prepare(recipe.data, recipe.tokenizer, 300, folder / "corpus", progress=False)
    assert live(recipe, corpus, folder / "whole", {}) == 0
    lives = []
    for moment in [*moments, {}]:
        code = live(recipe, corpus, folder / "killed", moment)
        saving = any((folder / "killed" / "checkpoints").glob(".*"))
        lives.append({"code": code, "saving": saving, "faults": faults(folder / "killed")})
        if code == 0:
            break
    print(json.dumps(lives))


def live(recipe: Recipe, corpus: Corpus, run: Path, moment: dict[str, Any]) -> int:
    """One life. Returns 0, or -9 where it was killed."""
    run.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if "calls" in moment:
                die_at(moment["calls"])
            train(recipe, corpus, run)
            code = 0
        finally:
            os._exit(code)
    if "seconds" in moment:
        time.sleep(moment["seconds"])
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(recipe: Recipe, corpus: Corpus, run: Path) -> None:
    callbacks = Callbacks(score_stories, lambda model, tokenizer, prompt, seed: f"{prompt} {seed}")
    batches, progress = batches_of(recipe, corpus), TrainingProgress(Console(quiet=True))
    fit(recipe, launch(recipe), corpus, batches, run, callbacks, resume=True, progress=progress)


def die_at(calls: int) -> None:
    """SIGKILL at the n-th call that changes the disk: before it, or, of a file of weights, with half of it written."""
    left = calls

    def counted(function: Any) -> Any:
        def call(*values: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if function is saved:
                    function(*values, **options)
                    os.truncate(values[1], Path(values[1]).stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*values, **options)

        return call

    saved = safetensors.torch.save_file
    safetensors.torch.save_file = counted(saved)
    for module, name in DISK:
        setattr(module, name, counted(getattr(module, name)))


def faults(run: Path) -> list[str]:
    """What is wrong with what a killed life left: each checkpoint that has a name must be whole, each pointer true."""
    found = [f"step-{step}: {fault}" for step in steps(run) if (fault := check(run / "checkpoints" / f"step-{step}"))]
    for pointer in ("best", "last"):
        path = run / "checkpoints" / pointer
        if path.exists() and not (run / "checkpoints" / path.read_text().strip()).is_dir():
            found.append(f"{pointer} names {path.read_text()!r}")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
