"""A small corpus and a small recipe, on which a whole run takes a second."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from rich.console import Console

from talewright.config import Recipe, recipe_from_dict, recipe_to_yaml
from talewright.data import Batches, Corpus, prepare
from talewright.evaluate.likelihood import Likelihood, score_stories
from talewright.model.gpt import GPT
from talewright.train.distillation import open_teacher
from talewright.train.distributed import DistributedContext, launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import Outcome, fit
from talewright.train.progress import TrainingProgress
from talewright.train.trainer import training_batches

NAMES, THINGS = ["Lily", "Tom", "Sam", "Anna"], ["ball", "kite", "boat", "cake", "drum"]


def write_stories(path: Path, count: int) -> Path:
    """A .txt file of `count` different small stories."""
    draw = random.Random(7)
    lines = []
    for number in range(count):
        name, thing = draw.choice(NAMES), draw.choice(THINGS)
        lines.append(f"{name} had {number} red {thing}s. One {thing} was lost. {name} found the {thing} and was happy.")
    path.write_text("\n<|endoftext|>\n".join(lines) + "\n<|endoftext|>\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small recipe as plain values."""
    stories = write_stories(tmp_path_factory.mktemp("stories") / "stories.txt", 120)
    return {
        "name": "small",
        "seed": 3,
        "data": {"source": str(stories), "splits": [80, 20]},
        "model": {
            "n_layers": 2,
            "n_heads": 2,
            "d_model": 16,
            "d_ff": 32,
            "vocab_size": 300,
            "context_length": 16,
            "dropout": 0.1,
        },
        "schedule": {"kind": "cosine", "warmup_steps": 3},
        "train": {
            "learning_rate": 1e-2,
            "micro_batch": 4,
            "accumulation": 2,
            "max_steps": 12,
            "evaluate_every": 4,
            "checkpoint_every": 4,
            "precision": "fp32",
            "accelerator": "cpu",
            "compile": False,
        },
    }


@pytest.fixture(scope="session")
def small_corpus(small_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    recipe = recipe_from_dict(small_values)
    folder = tmp_path_factory.mktemp("corpus") / "prepared"
    return prepare(recipe.data, recipe.tokenizer, recipe.model.vocab_size, folder, progress=False)


@pytest.fixture
def small(small_values: dict[str, Any]) -> Callable[..., Recipe]:
    """Makes the small recipe, with changes by section: small(train={"max_steps": 3})."""

    def make(**sections: Any) -> Recipe:
        values = {key: dict(value) if isinstance(value, dict) else value for key, value in small_values.items()}
        for section, changes in sections.items():
            values[section] = {**values.get(section, {}), **changes} if isinstance(changes, dict) else changes
        return recipe_from_dict(values)

    return make


@pytest.fixture(scope="session")
def teacher_run(small_values: dict[str, Any], small_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a wider model, without dropout, on the same stories."""
    return train_teacher(small_values, small_corpus, tmp_path_factory.mktemp("teacher") / "run", 16)


def train_teacher(small_values: dict[str, Any], corpus: Corpus, run: Path, sequence_length: int) -> Path:
    """Train a model that is wider than the small one, and sees a little more than `sequence_length`."""
    model = {**small_values["model"], "d_model": 24, "d_ff": 48, "context_length": sequence_length + 4, "dropout": 0.0}
    data = {**small_values["data"], "sequence_length": sequence_length}
    recipe = recipe_from_dict({**small_values, "model": model, "data": data})
    train_small(recipe, corpus, run)
    corpus.tokenizer.save(run / "tokenizer")
    (run / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")
    return run


def batches_of(recipe: Recipe, corpus: Corpus) -> Batches:
    return training_batches(recipe, corpus.split("train"))


def train_small(
    recipe: Recipe,
    corpus: Corpus,
    run: Path,
    resume: bool = False,
    at_evaluation: Callable[[int], None] = lambda number: None,
    shown: IO[str] | None = None,
    distributed: DistributedContext | None = None,
) -> Outcome:
    """Train into `run`. `at_evaluation` gets the number of each evaluation as it begins, 0 for that of the untrained
    model; `shown` gets what a person sees. The processes are `distributed`, or are started.
    """
    run.mkdir(exist_ok=True)
    evaluations = 0 if resume else -1

    def evaluate(model: GPT, stories: list[np.ndarray], sizes: np.ndarray, separator: list[int]) -> Likelihood:
        nonlocal evaluations
        evaluations += 1
        at_evaluation(evaluations)
        return score_stories(model, stories, sizes, separator)

    callbacks = Callbacks(evaluate, lambda model, tokenizer, prompt, seed: f"{prompt} {seed}")
    progress = TrainingProgress(Console(file=shown, width=1000) if shown else Console(quiet=True))
    teacher = open_teacher(recipe, corpus)
    batches, distributed = batches_of(recipe, corpus), distributed or launch(recipe)
    return fit(recipe, distributed, corpus, batches, run, callbacks, resume=resume, teacher=teacher, progress=progress)
