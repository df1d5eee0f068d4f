"""Whether a run folder is still what it was: its files' hashes, the stories that it was trained on, its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from talewright.data import open_corpus
from talewright.errors import UserError
from talewright.run.checkpoint import check, checkpoint_folder
from talewright.run.folder import RunFolder
from talewright.run.log import read_log

TOLERANCE = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}
"""Relative difference between two scores of the same weights that another machine's rounding explains."""


class Finding(NamedTuple):
    """What was looked at, and what was found."""

    what: str
    fault: str | None
    """What is wrong with it, or None."""
    words: str = ""
    """What was found, where all is well."""


def verify(path: Path, score: Callable[[RunFolder], float]) -> Iterator[Finding]:
    """Check one thing after another. `score` is the loss of the best checkpoint on the first
    `train.evaluate_stories` validation stories. Raises UserError if the folder is not a run, or has no checkpoint.
    """
    run = RunFolder(path)
    run.find_checkpoint("last")
    yield _look("tokenizer", lambda: f"{run.tokenizer.vocab_size:,} tokens")
    for step in run.steps:
        fault = check(checkpoint_folder(path, step))
        yield Finding(f"checkpoints/step-{step}", fault, "sizes and SHA-256 as its manifest says")
    yield from (_look(f"checkpoints/{name}", lambda name=name: _named(run, name)) for name in ("best", "last"))
    yield _look("stories", lambda: _stories(run))
    yield _look("evaluation", lambda: _evaluation(run, score))


def _look(what: str, examine: Callable[[], str]) -> Finding:
    try:
        return Finding(what, None, examine())
    except UserError as error:
        return Finding(what, str(error))


def _named(run: RunFolder, name: str) -> str:
    words = (run.path / "checkpoints" / name).read_text(encoding="utf-8", errors="replace").strip()
    if words not in [f"step-{step}" for step in run.steps]:
        raise UserError(f"it names {words[:40]!r}, which does not exist")
    return words


def _stories(run: RunFolder) -> str:
    corpus = open_corpus(run.recipe)
    run.check_same_stories(corpus)
    corpus.verify()
    return f"fingerprint and every file's SHA-256 in {corpus.folder}"


def _evaluation(run: RunFolder, score: Callable[[RunFolder], float]) -> str:
    """Score the best checkpoint again, on the stories that it was scored on during training."""
    step = int(run.checkpoint().name.removeprefix("step-"))
    events = [event for event in read_log(run.path / "log.jsonl") if event.get("step") == step]
    logged = next((event["loss"] for event in events if event.get("event") == "evaluation"), None)
    if not isinstance(logged, float):
        raise UserError(f"log.jsonl has no evaluation of step {step}, the best checkpoint's")
    loss, precision = score(run), run.recipe.train.precision
    if abs(loss - logged) > TOLERANCE.get(precision, TOLERANCE["bf16"]) * abs(logged):
        raise UserError(f"step {step} has a validation loss of {loss:.6f}, and log.jsonl says {logged:.6f}")
    return f"validation loss {loss:.6f} at step {step}, logged {logged:.6f}"
