"""A look inside a run: its checkpoint, the stories to look at, what is set beside it, and the report of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from talewright.api import autocast, first_stories, new_model, open_corpus, run_recipe
from talewright.config import DataConfig, Recipe
from talewright.data import tokenize_source
from talewright.errors import UserError
from talewright.inspect.inspection import Subject, Wishes, look
from talewright.inspect.report.page import write_report
from talewright.machine import default_device, keep_heap
from talewright.model.gpt import GPT
from talewright.run.checkpoint import check, load_model
from talewright.run.history import read_history
from talewright.run.retention import find_checkpoint, steps
from talewright.tokenizer import Tokenizer

STORIES = 3000
"""Validation stories at hand; each figure takes as many of them as it needs."""
POINTERS = ("best", "last")
Say = Callable[[str], None]


def look_inside(
    folder: str | Path,
    wishes: Wishes | None = None,
    *,
    checkpoint: str = "best",
    against: str | None = None,
    data: str | None = None,
    out: str | Path | None = None,
    say: Say = lambda words: None,
) -> Path:
    """Look inside a run and write `report.html` and `plots/` into its folder, or into `out`. Returns the report's path.

    `against` is set beside it: another run's folder, or a checkpoint of the same run (best, last, a step). `data` names
    the stories to look at; the run's own validation stories unless told. What could not be done as it was asked, a
    run still in training, a cut text, stands as a note in the report, and is said. Raises UserError where there is
    nothing to look at.
    """
    run, wishes, notes = Path(folder), wishes or Wishes(), []
    recipe = run_recipe(run)
    keep_heap()
    subject = open_subject(run, recipe, checkpoint, notes)
    if subject.model is None and not subject.history.steps:
        raise UserError(f"{run} has neither a step in its log nor a checkpoint yet; let it train first")
    other = None if against is None else _beside(run, recipe, against, notes)
    stories = [] if subject.model is None else _stories(recipe, subject.tokenizer, data, notes)
    target = run if out is None else Path(out)
    found = look(
        subject,
        stories,
        wishes,
        target,
        other=other,
        checkpoints=lambda: _models(run, recipe, subject),
        start=lambda: new_model(recipe),
        fast=lambda: autocast(recipe.train.precision),
        say=say,
    )
    found.notes += notes + _words_on(subject, wishes)
    for note in found.notes:
        say(note)
    return write_report(found, target / "report.html")


def open_subject(run: Path, recipe: Recipe, which: str, notes: list[str]) -> Subject:
    """The run's model at that checkpoint, or at the newest whole one; without a model where there is none yet."""
    history, tokenizer = read_history(run), Tokenizer.load(run / "tokenizer")
    if history.torn:
        notes.append(f"The last line of {run / 'log.jsonl'} is torn (the run was stopped as it wrote it): left out.")
    if not steps(run):
        notes.append(f"{run} has no checkpoint yet: only its curves are shown. Its first evaluation saves one.")
        return Subject(name=history.name, tokenizer=tokenizer, history=history)
    model = GPT(recipe.model)
    step = _load_whole(run, which, model, notes)
    newest = steps(run)[-1:]
    if newest and history.steps > newest[0]:
        notes.append(
            f"The run has gone on to step {history.steps:,} since its newest checkpoint, step {newest[0]:,}: it still "
            "trains, or was stopped. Shown is what its checkpoints hold."
        )
    return Subject(
        name=history.name, tokenizer=tokenizer, history=history, model=model.to(default_device()).eval(), step=step
    )


def _load_whole(run: Path, which: str, model: GPT, notes: list[str]) -> int:
    """Read the checkpoint, or, where best or last is meant and it is damaged, the newest that is whole; its step."""
    wanted = find_checkpoint(run, which)
    others = [run / "checkpoints" / f"step-{step}" for step in reversed(steps(run))] if which in POINTERS else []
    wrong = "it is gone"
    for folder in dict.fromkeys([wanted, *others]):
        problem = check(folder)
        if problem is None:
            try:
                load_model(folder, model)
            except UserError:
                if folder.is_dir():  # else a run in training has cleared it away just now
                    raise
                continue
            if folder != wanted:
                notes.append(f"{wanted.name} cannot be used ({wrong}): shown is {folder.name}, which is whole.")
            return int(folder.name.removeprefix("step-"))
        wrong = problem if folder == wanted else wrong
    raise UserError(f"{wanted} cannot be used: {wrong}; another one can be named by --checkpoint")


def _beside(run: Path, recipe: Recipe, against: str, notes: list[str]) -> Subject:
    if against in POINTERS or against.isdigit():
        return open_subject(run, recipe, against, notes=[])
    if not Path(against).exists():
        raise UserError(
            f"--against is {against}: no run folder here, nor a checkpoint (best, last, or a step's number)"
        )
    return open_subject(Path(against), run_recipe(Path(against)), "best", notes)


def _models(run: Path, recipe: Recipe, subject: Subject) -> Iterator[tuple[int, GPT]]:
    """The run's models, checkpoint by checkpoint; one that is damaged, or was cleared away, is passed over."""
    for step in steps(run):
        if step == subject.step and subject.model is not None:
            yield step, subject.model
            continue
        model = GPT(recipe.model)
        try:
            load_model(run / "checkpoints" / f"step-{step}", model)
        except UserError:
            continue
        yield step, model


def _stories(recipe: Recipe, tokenizer: Tokenizer, data: str | None, notes: list[str]) -> list[np.ndarray]:
    """Stories to look at: those of `data`, or the run's validation stories, or bundled ones where it has none."""
    if data is not None:
        return tokenize_source(DataConfig(source=data, limit=STORIES), tokenizer)[0]
    try:
        corpus = open_corpus(recipe)
        if corpus.tokenizer.fingerprint != tokenizer.fingerprint:
            raise UserError(f"{corpus.folder} was prepared with another tokenizer")
        return first_stories(corpus.split("valid"), STORIES)[0]
    except UserError as error:
        notes.append(f"The run's validation stories cannot be had ({error}): bundled stories are looked at instead.")
        return tokenize_source(DataConfig(source="bundled", limit=500), tokenizer)[0]


def _words_on(subject: Subject, wishes: Wishes) -> list[str]:
    """What of a given text could not be looked at."""
    if wishes.text is None or subject.model is None:
        return []
    tokens, context = len(subject.tokenizer.encode(wishes.text)), subject.model.config.context_length
    if tokens <= context:
        return []
    return [f"The text has {tokens:,} tokens, more than the model's context: its first {context:,} are looked at."]
