"""Whether a run folder is still what it was: its files' hashes, the stories that it was trained on, its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from talewright import api
from talewright.config import Recipe
from talewright.errors import UserError
from talewright.evaluate.likelihood import score_stories
from talewright.machine import keep_heap
from talewright.run.checkpoint import check
from talewright.run.log import read_log
from talewright.run.retention import find_checkpoint, folder_of, steps
from talewright.tokenizer import Tokenizer

TOLERANCE = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}
"""Relative difference between two scores of the same weights that another machine's rounding explains."""


class Finding(NamedTuple):
    """What was looked at, and what was found."""

    what: str
    fault: str | None
    """What is wrong with it, or None."""
    words: str = ""
    """What was found, where all is well."""


def verify(folder: Path) -> Iterator[Finding]:
    """Look at one thing after another. Raises UserError where the folder is no run, or has no checkpoint."""
    recipe = api.run_recipe(folder)
    find_checkpoint(folder, "last")
    yield _look("tokenizer", lambda: f"{Tokenizer.load(folder / 'tokenizer').vocab_size:,} tokens")
    for step in steps(folder):
        fault = check(folder_of(folder, step))
        yield Finding(f"checkpoints/step-{step}", fault, "sizes and SHA-256 as its manifest says")
    yield from (_look(f"checkpoints/{name}", lambda name=name: _named(folder, name)) for name in ("best", "last"))
    yield _look("stories", lambda: _stories(folder, recipe))
    yield _look("evaluation", lambda: _evaluation(folder, recipe))


def _look(what: str, examine: Callable[[], str]) -> Finding:
    try:
        return Finding(what, None, examine())
    except UserError as error:
        return Finding(what, str(error))


def _named(folder: Path, name: str) -> str:
    words = (folder / "checkpoints" / name).read_text(encoding="utf-8", errors="replace").strip()
    if words not in [f"step-{step}" for step in steps(folder)]:
        raise UserError(f"it names {words[:40]!r}, which is not there")
    return words


def _stories(folder: Path, recipe: Recipe) -> str:
    corpus = api.open_corpus(recipe)
    api.check_same_stories(folder, corpus)
    corpus.verify()
    return f"fingerprint and every file's SHA-256 in {corpus.folder}"


def _evaluation(folder: Path, recipe: Recipe) -> str:
    """Score the best checkpoint again, on the stories it was scored on while it trained."""
    run = api.load(folder)
    step = int(run.checkpoint.name.removeprefix("step-"))
    events = [event for event in read_log(folder / "log.jsonl") if event.get("step") == step]
    logged = next((event["loss"] for event in events if event.get("event") == "evaluation"), None)
    if not isinstance(logged, float):
        raise UserError(f"log.jsonl has no evaluation of step {step}, the best checkpoint's")
    stories, sizes = api.first_stories(api.open_corpus(recipe).split("valid"), recipe.train.evaluate_stories)
    keep_heap()
    with api.autocast(recipe.train.precision):
        loss = score_stories(run.model, stories, sizes, run.tokenizer.eos_id).loss
    precision = recipe.train.precision
    if abs(loss - logged) > TOLERANCE.get(precision, TOLERANCE["bf16"]) * abs(logged):
        raise UserError(f"step {step} has a validation loss of {loss:.6f}, and log.jsonl says {logged:.6f}")
    return f"validation loss {loss:.6f} at step {step}, logged {logged:.6f}"
