"""A training session from its first line: a new run, or the resumption of a stopped one.

Sets up the processes, the corpus and the run folder, and hands them to the loop.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talewright.config import BUDGETS, Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.data import Batches, Corpus, open_corpus
from talewright.data.sources import from_anywhere
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.run.checkpoint import load_weights
from talewright.run.folder import RunFolder, create_run, new_run_path
from talewright.run.lock import lock_run
from talewright.tokenizer import Tokenizer
from talewright.train.distillation import Teacher, open_teacher
from talewright.train.distributed import Launched, launch
from talewright.train.loop import Outcome, Watch, fit
from talewright.train.metrics import Score
from talewright.train.preflight import check_disk, check_memory
from talewright.train.progress import Display

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """What training needs from packages that it must not import, and how it shows its progress."""

    evaluate: Callable[[GPT, list[np.ndarray], np.ndarray, int], Score]
    """Scores a model on stories: token ids, UTF-8 sizes, end-of-text id."""
    generate: Callable[[GPT, Tokenizer, str, int], str]
    """Generates a sample from a prompt, with a seed."""
    display: Display = field(default_factory=Display)


def start_run(recipe: Recipe, path: Path, callbacks: Callbacks) -> Outcome:
    """Train the recipe into a new run folder."""
    launched = launch(recipe)  # before the folder is made: every process finds it free
    with launched.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    recipe = _with_absolute_paths(recipe)
    teacher = open_teacher(recipe, corpus)
    _preflight(recipe, launched, path, teacher)
    with _lock(path, launched):
        if launched.fabric.is_global_zero:
            new_run_path(recipe, path)  # another process may have started a run here meanwhile
            metadata: dict[str, Any] = {"source": recipe.data.source, "fingerprint": corpus.fingerprint}
            if teacher is not None:
                metadata["teacher"] = teacher.source
            create_run(path, recipe, corpus.tokenizer, metadata, _initial_checkpoint(recipe, corpus.tokenizer))
        return fit(
            recipe,
            launched,
            _batches(recipe, corpus),
            path,
            _watch(recipe, corpus, callbacks),
            resume=False,
            teacher=teacher,
        )


def resume_run(path: Path, overrides: Mapping[str, str], callbacks: Callbacks) -> Outcome:
    """Continue from the newest whole checkpoint of a run folder; without one, from step 0."""
    run = RunFolder(path, overrides)
    recipe = run.recipe
    launched = launch(recipe)
    with launched.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    run.check_same_stories(corpus)
    teacher = open_teacher(recipe, corpus, run.metadata.get("teacher", {}))
    _preflight(recipe, launched, path, teacher)
    with _lock(path, launched):
        if overrides and launched.fabric.is_global_zero:
            _log_new_budget(RunFolder(path).recipe, recipe)
            run.write_recipe(recipe)
        return fit(
            recipe,
            launched,
            _batches(recipe, corpus),
            path,
            _watch(recipe, corpus, callbacks),
            resume=True,
            teacher=teacher,
        )


def recipe_from_run(run: str | Path, recipe: str | None, overrides: Mapping[str, str]) -> Recipe:
    """The recipe that trains a run's model further, in a new run: that run's model and tokenizer, the rest from
    `recipe` (None: that run's too).
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
    named = {name: getattr(data, name) for name in ("source", "valid", "test")}
    data = dataclasses.replace(data, **{name: value and from_anywhere(value) for name, value in named.items()})
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


def _preflight(recipe: Recipe, launched: Launched, path: Path, teacher: Teacher | None) -> None:
    """Raise UserError if the disk or the memory would not suffice; a GPU's memory is not checked."""
    if launched.fabric.is_global_zero:
        check_disk(recipe, path)
    if launched.fabric.device.type == "cpu":
        shape = teacher and teacher.model.config
        check_memory(recipe, launched.precision, recipe.train.devices, teacher=shape)


def _lock(path: Path, launched: Launched) -> AbstractContextManager[None]:
    return lock_run(path) if launched.fabric.is_global_zero else nullcontext()


def _log_new_budget(old: Recipe, new: Recipe) -> None:
    before, after = (
        ", ".join(f"{name} {value:,}" for name in BUDGETS if (value := getattr(recipe.train, name[6:])) is not None)
        for recipe in (old, new)
    )
    if before != after:
        logger.warning("A new budget, and with it a new schedule from here on: %s (was %s)", after, before)


def _batches(recipe: Recipe, corpus: Corpus) -> Batches:
    data, length = recipe.data, recipe.sequence_length
    split = corpus.split("train")
    return Batches(split, context_length=length, layout=data.layout, stride=data.stride, seed=recipe.seed)


def _watch(recipe: Recipe, corpus: Corpus, callbacks: Callbacks) -> Watch:
    stories, sizes = corpus.split("valid").first_stories(recipe.train.evaluate_stories)
    tokenizer = corpus.tokenizer
    return Watch(
        evaluate=lambda model: callbacks.evaluate(model, stories, sizes, tokenizer.eos_id),
        generate=lambda model, prompt, seed: callbacks.generate(model, tokenizer, prompt, seed),
        display=callbacks.display,
    )
