"""A training session: a new run, or a stopped run that resumes.

Starts the processes, opens the corpus and the run folder, and calls the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from talewright.config import BUDGETS, Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.data import open_corpus
from talewright.run.folder import RunFolder, create_run
from talewright.run.lock import lock_run
from talewright.train.distillation import open_teacher
from talewright.train.distributed import DistributedContext, launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import Outcome, fit
from talewright.train.out_of_memory import explain_out_of_memory
from talewright.train.preflight import preflight
from talewright.train.progress import TrainingProgress
from talewright.train.trainer import training_batches

logger = logging.getLogger(__name__)


def start_run(
    recipe: Recipe, path: Path, callbacks: Callbacks, progress: TrainingProgress | None = None, force: bool = False
) -> Outcome:
    """Train the recipe into a new run folder; with `force`, even if its memory is estimated not to suffice."""
    distributed = launch(recipe)  # before the folder is made, so that every process finds it free
    with distributed.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    batches = training_batches(recipe, corpus.split("train"))  # raises if the stories are too short for the recipe
    teacher = open_teacher(recipe, corpus)
    preflight(recipe, distributed, path, teacher, force)
    with _lock(path, distributed), explain_out_of_memory(recipe, distributed, path, teacher):
        if distributed.fabric.is_global_zero:
            recipe = create_run(path, recipe, corpus, teacher and teacher.source)
        return fit(recipe, distributed, corpus, batches, path, callbacks, teacher=teacher, progress=progress)


def resume_run(
    path: Path,
    overrides: Mapping[str, str],
    callbacks: Callbacks,
    progress: TrainingProgress | None = None,
    force: bool = False,
) -> Outcome:
    """Resume a run from its newest whole checkpoint, or without one from step 0; `force` as in `start_run`."""
    run = RunFolder(path, overrides)
    recipe = run.recipe
    distributed = launch(recipe)
    with distributed.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    run.check_same_stories(corpus)
    batches = training_batches(recipe, corpus.split("train"))
    teacher = open_teacher(recipe, corpus, run.metadata.get("teacher", {}))
    preflight(recipe, distributed, path, teacher, force)
    with _lock(path, distributed), explain_out_of_memory(recipe, distributed, path, teacher):
        if overrides and distributed.fabric.is_global_zero:
            _log_new_budget(RunFolder(path).recipe, recipe)
            run.write_recipe(recipe)
        return fit(
            recipe, distributed, corpus, batches, path, callbacks, resume=True, teacher=teacher, progress=progress
        )


def recipe_from_run(run: str | Path, recipe: str | None, overrides: Mapping[str, str]) -> Recipe:
    """The recipe of a new run that trains a run's model further: that run's model and tokenizer, and the rest from
    `recipe`, by default that run's own.
    """
    own = RunFolder(run).recipe
    values = recipe_to_dict(load_recipe(recipe) if recipe else own)
    values["model"] = recipe_to_dict(own)["model"]
    values["tokenizer"] = {"kind": "saved", "source": str((Path(run) / "tokenizer").resolve())}
    values["train"]["init_from"] = str(run)
    return recipe_from_dict(values, f"{recipe or run}", overrides)


def _lock(path: Path, distributed: DistributedContext) -> AbstractContextManager[None]:
    return lock_run(path) if distributed.fabric.is_global_zero else nullcontext()


def _log_new_budget(old: Recipe, new: Recipe) -> None:
    before, after = (
        ", ".join(f"{name} {value:,}" for name in BUDGETS if (value := getattr(recipe.train, name[6:])) is not None)
        for recipe in (old, new)
    )
    if before != after:
        logger.warning("New budget, and with it a new schedule from here on: %s (was %s)", after, before)
