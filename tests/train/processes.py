"""Trains runs one after another in processes that start once: `python -m tests.train.processes FILE`.

The file is JSON: the folder of the prepared stories, and the runs, each a recipe's values, a run folder, and whether to
resume it. All have the number of processes of the first. What they learned is in the logs of the run folders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from rich.console import Console

from talewright.config import recipe_from_dict
from talewright.data import Corpus
from talewright.evaluate.likelihood import score_stories
from talewright.train import metrics
from talewright.train.distillation import open_teacher
from talewright.train.distributed import launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import fit
from talewright.train.progress import TrainingProgress
from tests.train.conftest import batches_of


def main() -> None:
    torch.set_num_threads(1)
    metrics.known_peak = lambda device, precision: 1e12
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    recipes = [recipe_from_dict(run["recipe"]) for run in plan["runs"]]
    distributed, corpus = launch(recipes[0]), Corpus.open(Path(plan["corpus"]))
    callbacks = Callbacks(score_stories, lambda model, tokenizer, prompt, seed: f"{prompt} {seed}")
    for recipe, run in zip(recipes, plan["runs"], strict=True):
        batches, teacher = batches_of(recipe, corpus), open_teacher(recipe, corpus)
        folder, progress = Path(run["folder"]), TrainingProgress(Console(quiet=True))
        folder.mkdir(exist_ok=True)
        fit(
            recipe, distributed, corpus, batches, folder, callbacks,
            resume=run["resume"], teacher=teacher, progress=progress,
        )  # fmt: skip


if __name__ == "__main__":
    main()
