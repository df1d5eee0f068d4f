"""Verification of a run folder: the hashes of its files, the stories it was trained on, its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from talewright.data import open_corpus
from talewright.errors import UserError
from talewright.files import error_reason
from talewright.run.checkpoint import check, checkpoint_folder
from talewright.run.draft import DRAFT, read_draft
from talewright.run.folder import RunFolder
from talewright.run.log import read_log
from talewright.run.timeline import light_fault, timeline_file, timeline_steps

TOLERANCE = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}
"""Relative difference between two scores of the same weights that the rounding of another machine explains."""


class Finding(NamedTuple):
    """The result of one check."""

    what: str
    """What was checked."""
    fault: str | None
    """What is wrong with it, or None."""
    detail: str = ""
    """What was verified, if nothing is wrong."""


def verify(path: Path, score: Callable[[RunFolder], float]) -> Iterator[Finding]:
    """Run one check after another. `score` returns the loss of the best checkpoint on the stories
    that training evaluated. Raises UserError if the folder is not a run, or has no checkpoint.
    """
    run = RunFolder(path)
    path = run.path
    run.find_checkpoint("last")
    yield _check("tokenizer", lambda: f"{run.tokenizer.vocab_size:,} tokens")
    if (path / DRAFT).exists():
        yield _check("draft", lambda: _draft(run))
    for step in run.steps:
        fault = check(checkpoint_folder(path, step))
        if fault and not checkpoint_folder(path, step).is_dir():
            continue  # a training run has just deleted it
        yield Finding(f"checkpoints/step-{step}", fault, "sizes and SHA-256 as in its manifest")
    if timeline_steps(path):
        yield _check("timeline", lambda: _timeline(path))
    yield from (_check(f"checkpoints/{name}", lambda name=name: _pointer(run, name)) for name in ("best", "last"))
    if run.imported:
        reason = "they do not come with the included model" if run.included else "unknown, because the run was imported"
        yield Finding("stories, evaluation", None, f"{reason}; its files alone are verified")
        return
    yield _check("stories", lambda: _stories(run))
    yield _check("evaluation", lambda: _evaluation(run, score))


def _check(what: str, verified: Callable[[], str]) -> Finding:
    try:
        return Finding(what, None, verified())
    except (UserError, OSError) as error:
        return Finding(what, error_reason(error))


def _pointer(run: RunFolder, name: str) -> str:
    pointed = (run.path / "checkpoints" / name).read_text(encoding="utf-8", errors="replace").strip()
    if pointed not in [f"step-{step}" for step in run.steps]:
        raise UserError(f"it names {pointed[:40]!r}, which does not exist")
    return pointed


def _draft(run: RunFolder) -> str:
    read_draft(run.path, run.tokenizer.vocab_size)
    return "of this tokenizer"


def _timeline(path: Path) -> str:
    steps = timeline_steps(path)
    if faults := [fault for step in steps if (fault := light_fault(timeline_file(path, step)))]:
        raise UserError("; ".join(faults))
    return f"{len(steps):,} light checkpoints, SHA-256 of each"


def _stories(run: RunFolder) -> str:
    corpus = open_corpus(run.recipe)
    run.check_same_stories(corpus)
    corpus.verify()
    return f"fingerprint and every file's SHA-256 in {corpus.folder}"


def _evaluation(run: RunFolder, score: Callable[[RunFolder], float]) -> str:
    """Score the best checkpoint again, on the stories that training scored it on."""
    step = int(run.checkpoint().name.removeprefix("step-"))
    events = [event for event in read_log(run.path / "log.jsonl") if event.get("step") == step]
    logged = next((event["loss"] for event in events if event.get("event") == "evaluation"), None)
    if not isinstance(logged, float):
        raise UserError(f"log.jsonl has no evaluation of step {step}, the best checkpoint's")
    loss, precision = score(run), run.recipe.train.precision
    if abs(loss - logged) > TOLERANCE.get(precision, TOLERANCE["bf16"]) * abs(logged):
        raise UserError(f"step {step} has a validation loss of {loss:.6f}, and log.jsonl says {logged:.6f}")
    return f"validation loss {loss:.6f} at step {step}, logged {logged:.6f}"
