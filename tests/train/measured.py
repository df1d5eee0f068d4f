"""What a recipe's training really takes of a processor's memory, in a process of its own.

python -m tests.train.measured RECIPE [PRECISION] [TEACHER'S RECIPE]

Makes three updates of the recipe's micro-batches, two of them at most in an update, on random tokens, and scores 64
stories of the context's length; prints the estimate, the memory held before the model was made, and the most held.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np

from talewright.config import ModelConfig, Recipe, load_recipe
from talewright.evaluate.likelihood import score_stories
from talewright.machine import keep_heap
from talewright.model.gpt import GPT
from talewright.train.benchmark import RandomBatches
from talewright.train.distillation import Teacher
from talewright.train.distributed import launch
from talewright.train.memory import training_bytes
from talewright.train.trainer import Trainer


def held(name: str) -> int:
    """VmRSS, what is held now, or VmHWM, the most that was, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def measured(recipe: Recipe, teacher: ModelConfig | None) -> dict[str, Any]:
    keep_heap()
    distributed = launch(recipe)
    before = held("VmRSS")
    teacher_model = teacher and Teacher(GPT(teacher), recipe.train.teacher_weight)
    trainer = Trainer(recipe, distributed, cast(Any, RandomBatches(recipe)), teacher_model)
    for _ in range(3):
        trainer.update()
    stories = [np.zeros(recipe.model.context_length - 1, dtype=np.int64)] * 64
    with distributed.fabric.autocast():
        score_stories(trainer.model, stories, [1000] * 64, 0)
    estimate = training_bytes(recipe, distributed.precision, teacher)
    return {"estimate": estimate, "before": before, "most": held("VmHWM")}


def shortened(name: str, precision: str) -> Recipe:
    """The recipe with two micro-batches in an update at most: more take no more memory."""
    recipe = load_recipe(name, {"train.max_steps": "3", "train.precision": precision, "train.accelerator": "cpu"})
    train = dataclasses.replace(recipe.train, accumulation=min(2, recipe.train.accumulation))
    return dataclasses.replace(recipe, train=train)


def teacher_of(recipe: Recipe, name: str) -> ModelConfig:
    """The shape of that recipe's model, with this one's vocabulary."""
    return dataclasses.replace(load_recipe(name).model, vocab_size=recipe.model.vocab_size)


if __name__ == "__main__":
    name, precision, *theirs = [*sys.argv[1:], "auto"] if len(sys.argv) == 2 else sys.argv[1:]
    short = shortened(name, precision)
    print(json.dumps(measured(short, teacher_of(short, theirs[0]) if theirs else None)))
