"""Opens a run for inspection: its model, the stories to look at, and another model beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from talewright.config import DataConfig
from talewright.data import tokenize_source
from talewright.errors import UserError
from talewright.inspect.inspection import Subject, Wishes, look
from talewright.inspect.report.page import write_report
from talewright.machine import autocast, keep_heap
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.checkpoint import check

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
    run, wishes, notes = RunFolder(folder), wishes or Wishes(), []
    keep_heap()
    subject = open_subject(run, checkpoint, notes)
    if subject.model is None and not subject.history.steps:
        raise UserError(f"{run.path} has neither a step in its log nor a checkpoint yet; let it train first")
    other = None if against is None else _beside(run, against, notes)
    stories = [] if subject.model is None else _stories(run, data, notes)
    target = run.path if out is None else Path(out)
    found = look(
        subject,
        stories,
        wishes,
        target,
        other=other,
        checkpoints=lambda: _models(run, subject),
        start=lambda: run.initial_model(torch.device("cpu")),
        fast=lambda: autocast(run.recipe.train.precision),
        say=say,
    )
    found.notes += notes + _words_on(subject, wishes)
    for note in found.notes:
        say(note)
    return write_report(found, target / "report.html")


def open_subject(run: RunFolder, which: str, notes: list[str]) -> Subject:
    """The run's model at that checkpoint, or at the newest whole one; without a model if there is none yet."""
    history = run.history()
    if history.torn:
        notes.append(f"The last line of {run.path / 'log.jsonl'} is incomplete (the run was stopped): it is left out.")
    subject = Subject(name=history.name, tokenizer=run.tokenizer, history=history)
    if not run.steps:
        notes.append(f"{run.path} has no checkpoint yet: only its curves are shown. Its first evaluation saves one.")
        return subject
    wanted = run.find_checkpoint(which)
    model, checkpoint = run.load_model(which)
    if checkpoint != wanted:
        why = check(wanted) or "it is gone"
        notes.append(f"{wanted.name} cannot be used ({why}): shown is {checkpoint.name}, which is whole.")
    newest = run.steps[-1:]
    if newest and history.steps > newest[0]:
        notes.append(
            f"The run has reached step {history.steps:,} since its newest checkpoint, step {newest[0]:,}: it is still "
            "training, or was stopped. Shown is what its checkpoints hold."
        )
    return dataclasses.replace(subject, model=model, step=int(checkpoint.name.removeprefix("step-")))


def _beside(run: RunFolder, against: str, notes: list[str]) -> Subject:
    if against in POINTERS or against.isdigit():
        return open_subject(run, against, notes=[])
    if not Path(against).exists():
        raise UserError(
            f"--against is {against}: no run folder here, nor a checkpoint (best, last, or a step's number)"
        )
    return open_subject(RunFolder(against), "best", notes)


def _models(run: RunFolder, subject: Subject) -> Iterator[tuple[int, GPT]]:
    """The run's models, checkpoint by checkpoint; one that is damaged, or was deleted, is skipped."""
    for step in run.steps:
        if step == subject.step and subject.model is not None:
            yield step, subject.model
            continue
        try:
            yield step, run.load_model(str(step), torch.device("cpu"))[0]
        except UserError:
            continue


def _stories(run: RunFolder, data: str | None, notes: list[str]) -> list[np.ndarray]:
    """Stories to look at: those of `data`, or the run's validation stories, or bundled ones if it has none."""
    if data is not None:
        return tokenize_source(DataConfig(source=data, limit=STORIES), run.tokenizer)[0]
    try:
        return run.corpus().split("valid").first_stories(STORIES)[0]
    except UserError as error:
        notes.append(f"The run's validation stories are not available ({error}): bundled stories are used instead.")
        return tokenize_source(DataConfig(source="bundled", limit=500), run.tokenizer)[0]


def _words_on(subject: Subject, wishes: Wishes) -> list[str]:
    """What of a given text could not be looked at."""
    if wishes.text is None or subject.model is None:
        return []
    tokens, context = len(subject.tokenizer.encode(wishes.text)), subject.model.config.context_length
    if tokens <= context:
        return []
    return [f"The text has {tokens:,} tokens, more than the model's context: its first {context:,} are looked at."]
