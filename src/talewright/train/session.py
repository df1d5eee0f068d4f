"""A training session: a new run, or a stopped run that resumes.

Starts the processes, opens the corpus and the run folder, and calls the loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from talewright.config import BUDGETS, Recipe, flat, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.data import Batches, Corpus, open_corpus
from talewright.data.summary import summary_line
from talewright.errors import UserError
from talewright.files import shell_word
from talewright.locks import LockedError
from talewright.run.folder import RunFolder, create_run, with_absolute_paths
from talewright.run.lock import lock_run
from talewright.run.new_folder import RECIPE, TakenError, discard_begun, is_unused
from talewright.run.retention import newest_state
from talewright.run.trackers import check_trackers
from talewright.train.distillation import Teacher, open_teacher
from talewright.train.distributed import DistributedContext, attempt, launch
from talewright.train.hooks import Callbacks
from talewright.train.loop import Outcome, fit
from talewright.train.out_of_memory import explain_out_of_memory
from talewright.train.preflight import check_disk, preflight
from talewright.train.progress import TrainingProgress
from talewright.train.schedule import Budget
from talewright.train.trainer import training_batches

logger = logging.getLogger(__name__)
FIXED = (
    "seed",
    "model.",
    "tokenizer.",
    "data.",
    "optimizer.kind",
    "train.average",
    "train.init_from",
    "train.evaluate_stories",
)
"""What a resumed run cannot change: the settings whose names begin so. Its weights, its stories, the order of its
batches and its earlier evaluations depend on them."""
MOVABLE = ("data.source", "data.valid", "data.test", "data.format", "data.separator", "data.text_key")
"""Where its stories lie and how they are read may change, if they are the same stories."""


def start_run(
    recipe: Recipe, path: Path, callbacks: Callbacks, progress: TrainingProgress | None = None, force: bool = False
) -> Outcome:
    """Train the recipe into a new run folder: of several processes, the main one's `path`.

    With `force`, even if its memory is estimated not to suffice.
    """
    check_trackers(recipe.train.loggers)
    prepared = attempt(lambda: open_corpus(recipe))  # may take long, and has a lock of its own
    distributed = launch(recipe)  # before the folder is made, so that every process finds it free
    with ExitStack() as stack:
        stack.enter_context(distributed.stop)
        stack.enter_context(distributed.explain_lost_process(path))
        path = Path(distributed.decide(lambda: str(path)))
        corpus = distributed.agree(prepared)
        logger.info("%s", summary_line(corpus.manifest))
        # raises if the stories are too short for the recipe
        batches = distributed.agree(lambda: training_batches(recipe, corpus.split("train")))
        distributed.agree(lambda: corpus.split("valid"))  # raises if there are no stories to evaluate on
        teacher = distributed.agree(lambda: open_teacher(recipe, corpus))
        if distributed.fabric.is_global_zero:
            stack.enter_context(_discard_if_refused(path, is_unused(path)))
        _check_and_lock(recipe, distributed, path, teacher, force, stack)
        distributed.decide(lambda: _create(path, recipe, corpus, teacher))
        recipe = with_absolute_paths(recipe)  # as in the run folder
        return fit(recipe, distributed, corpus, batches, path, callbacks, teacher=teacher, progress=progress)


def resume_run(
    path: Path,
    overrides: Mapping[str, str],
    callbacks: Callbacks,
    progress: TrainingProgress | None = None,
    force: bool = False,
) -> Outcome:
    """Resume a run from its newest whole checkpoint, or without one from step 0; `force` as in `start_run`.

    Raises UserError, with its recipe unchanged, if the overrides change what its weights and its data depend on or
    leave nothing to train, or if the run is an imported one.
    """
    own, run = RunFolder(path).recipe, RunFolder(path, overrides)
    if run.imported:
        raise UserError(
            f"{path} is an imported model, not a stopped training. To train it further, into a new run: "
            f"talewright train --init-from {shell_word(str(path))} --data FILE"
        )
    recipe = run.recipe
    if (began := run.logged_recipe) is not None:
        refuse_changes(path, began, own, FIXED, MOVABLE, f"Put them back in {path / RECIPE}")
    refuse_changes(path, own, with_absolute_paths(recipe) if overrides else recipe, FIXED, MOVABLE)
    check_trackers(recipe.train.loggers)
    prepared = attempt(lambda: open_corpus(recipe))
    distributed = launch(recipe)
    with ExitStack() as stack:
        stack.enter_context(distributed.stop)
        stack.enter_context(distributed.explain_lost_process(path))
        corpus = distributed.agree(prepared)
        distributed.agree(lambda: run.check_same_stories(corpus))
        batches = distributed.agree(lambda: training_batches(recipe, corpus.split("train")))
        teacher = distributed.agree(lambda: open_teacher(recipe, corpus, run.metadata.get("teacher", {})))
        _check_and_lock(recipe, distributed, path, teacher, force, stack)
        finished = distributed.decide(lambda: _nothing_left(run, batches))
        if finished and recipe != own:
            raise UserError(f"{finished}. {path} keeps its recipe")
        if overrides:
            distributed.decide(lambda: _replace_recipe(run, own))
        outcome = fit(
            recipe, distributed, corpus, batches, path, callbacks, resume=True, teacher=teacher, progress=progress
        )
        if finished and outcome.main_process:
            logger.info("%s", finished)
        return outcome


def _nothing_left(run: RunFolder, batches: Batches) -> str | None:
    """Why the recipe leaves a run nothing to train, and the options that would; None if it has a step left."""
    state = newest_state(run.path)
    if state is None:
        return None
    train, more = run.recipe.train, []
    alone = dict.fromkeys((name.removeprefix("train.") for name in BUDGETS), None)
    used = {
        "max_steps": state.step,
        "max_epochs": (state.step + state.skipped) * train.micro_batch * train.accumulation / batches.samples_per_epoch,
        "max_tokens": state.tokens,
        "max_minutes": state.seconds / 60,
    }
    for name in alone:
        value = getattr(train, name)
        budget = Budget.of(replace(train, **{**alone, name: value}), batches, run.recipe.sequence_length)
        if budget.spent(state.step, state.seconds):
            enough = 2 * max(value, used[name])
            more.append((name, value, math.ceil(enough) if isinstance(value, int) else round(enough + 0.005, 2)))
    if train.patience is not None and state.waited >= train.patience:
        more.append(("patience", train.patience, state.waited + train.patience))
    if not more:
        return None
    spent = " and ".join(f"train.{name} {value:,}" for name, value, _ in more)
    options = " ".join(f"--train.{name.replace('_', '-')} {enough}" for name, _, enough in more)
    return f"{run.path} is finished: at step {state.step:,} it has spent {spent}. To train it longer, add {options}"


def budgets_of_same_command(path: Path, recipe: str | None, overrides: Mapping[str, str]) -> dict[str, str]:
    """The budgets among the overrides of a command that began this run, or continues it.

    Raises UserError, by name, if another setting of the command is not the run's.
    """
    own = RunFolder(path).recipe
    wanted = load_recipe(recipe, overrides) if recipe else RunFolder(path, overrides).recipe
    refuse_changes(path, own, with_absolute_paths(wanted), ("",), BUDGETS)
    return {name: value for name, value in overrides.items() if name.replace("-", "_") in BUDGETS}


def refuse_changes(
    path: Path,
    own: Recipe,
    wanted: Recipe,
    prefixes: tuple[str, ...],
    allowed: Collection[str],
    advice: str = "Leave them out",
) -> None:
    """Raise UserError, with the advice, if a setting whose name has one of the prefixes, and that is not allowed to
    change, does.
    """
    before, after = _settings(own), _settings(wanted)
    changed = [
        f"{name} is {_shown(before[name])}, not {_shown(after[name])}"
        for name in before
        if name.startswith(prefixes) and name not in allowed and before[name] != after[name]
    ]
    if changed:
        raise UserError(
            f"{path} keeps the settings that it began with: {'; '.join(changed)}. {advice}, or train into another "
            "folder"
        )


def _shown(value: Any) -> str:
    """The value as a recipe has it."""
    return "null" if value is None else str(value)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Every setting by its dotted name. A saved tokenizer is the run's own copy, wherever it came from."""
    values = dict(flat(recipe_to_dict(recipe)))
    if recipe.tokenizer.kind == "saved":
        del values["tokenizer.source"]
    return values


def recipe_from_run(run: str | Path, recipe: str | None, overrides: Mapping[str, str]) -> Recipe:
    """The recipe of a new run that trains a run's model further: that run's model and tokenizer, and the rest from
    `recipe`, by default that run's own.
    """
    begun = RunFolder(run)
    own = begun.recipe
    values = recipe_to_dict(load_recipe(recipe) if recipe else own)
    values["model"] = recipe_to_dict(own)["model"]
    values["tokenizer"] = {"kind": "saved", "source": str((begun.path / "tokenizer").resolve())}
    values["train"]["init_from"] = str(run)
    return recipe_from_dict(values, f"{recipe or run}", overrides)


def _check_and_lock(
    recipe: Recipe, distributed: DistributedContext, path: Path, teacher: Teacher | None, force: bool, stack: ExitStack
) -> None:
    """Check the disk and the memory, lock the run folder and explain a lack of memory until `stack` is left."""
    distributed.decide(lambda: check_disk(recipe, path))
    distributed.agree(lambda: preflight(recipe, distributed, teacher, force))
    distributed.decide(lambda: stack.enter_context(lock_run(path)))
    stack.enter_context(explain_out_of_memory(recipe, distributed, path, teacher))


@contextmanager
def _discard_if_refused(path: Path, unused: bool) -> Iterator[None]:
    """Within: a mistake that is found before the first step leaves no begun run behind."""
    try:
        yield
    except UserError as error:
        others = isinstance(error, LockedError | TakenError)
        if not others and not isinstance(error.__cause__, RuntimeError | MemoryError | OSError):
            discard_begun(path, unused)
        raise


def _create(path: Path, recipe: Recipe, corpus: Corpus, teacher: Teacher | None) -> None:
    create_run(path, recipe, corpus, teacher and teacher.source)
    filled, size = corpus.tokenizer.vocab_size, recipe.model.vocab_size
    if filled < size and recipe.tokenizer.kind in ("bpe", "gpt2-top"):
        logger.info(
            "The stories have too few words for a vocabulary of %s: the tokenizer has %s tokens, and the model never "
            "generates the other ids. A smaller model without them: --model.vocab-size %s",
            f"{size:,}",
            f"{filled:,}",
            filled,
        )


def _replace_recipe(run: RunFolder, own: Recipe) -> None:
    _log_new_budget(own, run.recipe)
    run.write_recipe(run.recipe)


def _log_new_budget(old: Recipe, new: Recipe) -> None:
    before, after = (
        ", ".join(f"{name} {value:,}" for name in BUDGETS if (value := getattr(recipe.train, name[6:])) is not None)
        for recipe in (old, new)
    )
    if before != after:
        logger.warning("New budget: %s (before: %s). The learning-rate schedule restarts from here", after, before)
