"""The evaluation of runs: `scores.json` in each run folder, and runs side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from talewright.data.sources import last_name
from talewright.errors import UserError
from talewright.evaluate.context import HeldOut, Subject, Telling
from talewright.evaluate.likelihood import score_stories
from talewright.evaluate.tasks import evaluate_parts
from talewright.files import read_json, write_json
from talewright.machine import autocast, keep_heap
from talewright.model.cost import count_parameters
from talewright.run import RunFolder
from talewright.run.log import read_log
from talewright.version import __version__

FILE = "scores.json"
FORMAT = "talewright scores"
VERSION = 2
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an evaluation is asked for."""

    parts: Sequence[str]
    """Names of the parts, of those in `evaluate.parts.PARTS`."""
    data: str | None = None
    """Stories to score on; a run's own validation stories where it is None."""
    checkpoint: str = "best"
    limit: int | None = None
    """Score on the first so many held-out stories alone."""
    telling: Telling = Telling()  # noqa: RUF009, frozen


def evaluate_runs(folders: Sequence[Path], asked: Asked, say: Say = lambda words: None) -> list[dict[str, Any]]:
    """Score each run, write its `scores.json`, and say where runs were scored on different stories.

    Raises UserError where a folder is no run, before any is scored.
    """
    runs = [RunFolder(folder) for folder in folders]
    found = [evaluate_run(run, asked, say) for run in runs]
    if len({scores["held_out"]["sha256"] for scores in found}) > 1:
        say("these runs were scored on different stories, and cannot be compared; --data names the same for all")
    return found


def evaluate_run(run: RunFolder, asked: Asked, say: Say) -> dict[str, Any]:
    """Score a run and write its `scores.json`. Parts that stand there, of the same weights and stories, stay."""
    keep_heap()
    subject, checkpoint = open_subject(run, asked, lambda words: say(f"{run.path}: {words}"))
    scores = {
        "format": FORMAT,
        "version": VERSION,
        "talewright": __version__,
        "name": run.recipe.name,
        "run": _facts(run, checkpoint),
        "held_out": held_out_facts(subject.held_out.source, subject.texts),
        "telling": asdict(asked.telling),
    }
    path = run.path / FILE
    scores["parts"] = _kept_parts(path, scores)
    for name in asked.parts:  # each is on the disk before the next begins: one that is stopped loses no other
        scores["parts"] |= evaluate_parts(subject, [name])
        try:
            write_json(path, scores)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
    return scores


def open_subject(run: RunFolder, asked: Asked, say: Say) -> tuple[Subject, Path]:
    """A run as its scores look at it."""
    stories, sizes = run.stories(asked.data)
    named, main = asked.data or run.recipe.data.valid, last_name(run.recipe.data.source)
    source = last_name(named) if named else f"validation stories of {main}"
    model, checkpoint = run.load_model(asked.checkpoint)
    subject = Subject(
        model=model,
        tokenizer=run.tokenizer,
        held_out=HeldOut(source, stories[: asked.limit], sizes[: asked.limit]),
        untrained=run.initial_model,
        training=lambda: run.corpus().split("train"),
        fast=lambda: autocast(run.recipe.train.precision),
        telling=asked.telling,
        say=say,
    )
    return subject, checkpoint


def validation_loss(run: RunFolder) -> float:
    """The loss of the best checkpoint, on the validation stories that training evaluates."""
    stories, sizes = run.corpus().split("valid").first_stories(run.recipe.train.evaluate_stories)
    keep_heap()
    with autocast(run.recipe.train.precision):
        return score_stories(run.load_model()[0], stories, sizes, run.tokenizer.eos_id).loss


def _facts(run: RunFolder, checkpoint: Path) -> dict[str, Any]:
    """What was trained, on what, and for how long."""
    state = read_json(checkpoint / "state.json") or {}
    manifest = read_json(checkpoint / "manifest.json") or {}
    log = next((event for event in read_log(run.path / "log.jsonl") if event.get("event") == "run"), {})
    return {
        "folder": run.name,
        "checkpoint": checkpoint.name,
        "weights": manifest.get("model.safetensors", {}).get("sha256"),
        "parameters": count_parameters(run.recipe.model).total,
        "seed": run.recipe.seed,
        "steps": state.get("step"),
        "tokens": state.get("tokens"),
        "seconds": state.get("seconds"),
        "machine": log.get("device"),
        "precision": log.get("precision"),
    }


def held_out_facts(source: str, texts: Sequence[str]) -> dict[str, Any]:
    """What held-out stories are known by: scores of the same ones can be compared."""
    digest, size = hashlib.sha256(), 0
    for text in map(str.encode, texts):
        digest.update(text + b"\0")
        size += len(text)
    return {"source": source, "stories": len(texts), "bytes": size, "sha256": digest.hexdigest()}


def _kept_parts(path: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """The parts of an earlier evaluation that still hold."""
    former = read_json(path)
    same = ("format", "version", "talewright", "run", "telling")
    if not isinstance(former, dict) or not isinstance(former.get("parts"), dict):
        return {}
    now = _as_read(scores)
    stories = former.get("held_out")
    if not isinstance(stories, dict) or stories.get("sha256") != now["held_out"]["sha256"]:
        return {}
    return former["parts"] if all(former.get(key) == now[key] for key in same) else {}


def _as_read(scores: dict[str, Any]) -> dict[str, Any]:
    """As the file gives it back: tuples become lists."""
    import json

    return json.loads(json.dumps(scores))


def read_scores(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The scores of runs that were evaluated. Raises UserError where one was not."""
    found = []
    for folder in folders:
        scores = read_json(folder / FILE)
        if not isinstance(scores, dict) or scores.get("format") != FORMAT or scores.get("version") != VERSION:
            why = "is damaged, or another version's" if (folder / FILE).exists() else "is not there"
            raise UserError(f"{folder / FILE} {why}; `talewright evaluate {folder}` writes it")
        found.append(scores)
    return found
