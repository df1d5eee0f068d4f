"""Trains runs one after another in processes that start once: `python -m tests.train.parity FILE`.

The file is JSON: the folder of the prepared stories, whether to resume, and the runs, each a recipe's values and a run
folder. All have the number of processes of the first. What they learned is in the logs of the run folders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from talewright.config import recipe_from_dict
from talewright.data import Corpus
from talewright.train import metrics
from talewright.train.distributed import launch
from tests.train.conftest import train_small


def main() -> None:
    torch.set_num_threads(1)
    metrics.known_peak = lambda device, precision: 1e12
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    recipes = [recipe_from_dict(run["recipe"]) for run in plan["runs"]]
    distributed, corpus = launch(recipes[0]), Corpus.open(Path(plan["corpus"]))
    for recipe, run in zip(recipes, plan["runs"], strict=True):
        train_small(recipe, corpus, Path(run["folder"]), plan["resume"], distributed=distributed)


if __name__ == "__main__":
    main()
