"""A training session: a new run, or a stopped run that resumes.

Starts the processes, opens the corpus and the run folder, and calls the loop.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from talewright.config import BUDGETS, Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.data import open_corpus
from talewright.data.sources import from_anywhere
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.run.checkpoint import load_weights
from talewright.run.folder import RunFolder, create_run, new_run_path
from talewright.run.lock import lock_run
from talewright.tokenizer import Tokenizer
from talewright.train.distillation import Teacher, open_teacher
from talewright.train.distributed import DistributedContext, launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import Outcome, fit
from talewright.train.preflight import check_disk, check_memory
from talewright.train.progress import TrainingProgress
from talewright.train.trainer import training_batches

logger = logging.getLogger(__name__)


def start_run(recipe: Recipe, path: Path, callbacks: Callbacks, progress: TrainingProgress | None = None) -> Outcome:
    """Train the recipe into a new run folder."""
    distributed = launch(recipe)  # before the folder is made, so that every process finds it free
    with distributed.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    recipe = _with_absolute_paths(recipe)
    batches = training_batches(recipe, corpus.split("train"))  # raises if the stories are too short for the recipe
    teacher = open_teacher(recipe, corpus)
    _preflight(recipe, distributed, path, teacher)
    with _lock(path, distributed):
        if distributed.fabric.is_global_zero:
            new_run_path(recipe, path)  # another process may have started a run here meanwhile
            metadata: dict[str, Any] = {"source": recipe.data.source, "fingerprint": corpus.fingerprint}
            if teacher is not None:
                metadata["teacher"] = teacher.source
            create_run(path, recipe, corpus.tokenizer, metadata, _initial_checkpoint(recipe, corpus.tokenizer))
        return fit(recipe, distributed, corpus, batches, path, callbacks, teacher=teacher, progress=progress)


def resume_run(
    path: Path, overrides: Mapping[str, str], callbacks: Callbacks, progress: TrainingProgress | None = None
) -> Outcome:
    """Resume a run from its newest whole checkpoint, or without one from step 0."""
    run = RunFolder(path, overrides)
    recipe = run.recipe
    distributed = launch(recipe)
    with distributed.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    run.check_same_stories(corpus)
    batches = training_batches(recipe, corpus.split("train"))
    teacher = open_teacher(recipe, corpus, run.metadata.get("teacher", {}))
    _preflight(recipe, distributed, path, teacher)
    with _lock(path, distributed):
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


def _with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that its run finds stories and other runs from any working directory."""
    data, tokenizer = recipe.data, recipe.tokenizer
    sources = {name: getattr(data, name) for name in ("source", "valid", "test")}
    data = dataclasses.replace(data, **{name: value and from_anywhere(value) for name, value in sources.items()})
    if Path(tokenizer.source).expanduser().is_dir():  # otherwise a name on the hub
        tokenizer = dataclasses.replace(tokenizer, source=from_anywhere(tokenizer.source))
    runs = {name: getattr(recipe.train, name) for name in ("init_from", "teacher")}
    runs = {name: run and str(Path(run).expanduser().absolute()) for name, run in runs.items()}
    train = dataclasses.replace(recipe.train, **runs)
    return dataclasses.replace(recipe, data=data, tokenizer=tokenizer, train=train)


def _initial_checkpoint(recipe: Recipe, tokenizer: Tokenizer) -> Path | None:
    """The checkpoint whose weights training starts from. Raises UserError if they do not fit the recipe."""
    if recipe.train.init_from is None:
        return None
    source = RunFolder(recipe.train.init_from)
    checkpoint = source.checkpoint()
    load_weights(checkpoint, GPT(recipe.model))
    if source.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(f"{source.path} has another tokenizer than these stories were prepared with")
    return checkpoint


def _preflight(recipe: Recipe, distributed: DistributedContext, path: Path, teacher: Teacher | None) -> None:
    """Raise UserError if the disk or the memory would not suffice; a GPU's memory is not checked."""
    if distributed.fabric.is_global_zero:
        check_disk(recipe, path)
    if distributed.fabric.device.type == "cpu":
        shape = teacher and teacher.model.config
        check_memory(recipe, distributed.precision, recipe.train.devices, teacher=shape)


def _lock(path: Path, distributed: DistributedContext) -> AbstractContextManager[None]:
    return lock_run(path) if distributed.fabric.is_global_zero else nullcontext()


def _log_new_budget(old: Recipe, new: Recipe) -> None:
    before, after = (
        ", ".join(f"{name} {value:,}" for name in BUDGETS if (value := getattr(recipe.train, name[6:])) is not None)
        for recipe in (old, new)
    )
    if before != after:
        logger.warning("New budget, and with it a new schedule from here on: %s (was %s)", after, before)
