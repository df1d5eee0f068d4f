"""All runs of some folders, each with how far it came. Reads the logs only as far as this needs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from talewright.errors import UserError
from talewright.files import error_reason
from talewright.locks import lock_file
from talewright.model.cost import count_parameters
from talewright.run.folder import RECIPE, RunFolder
from talewright.run.retention import steps

State = Literal["training", "finished", "stopped", "imported", "damaged"]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run in a list of runs. What a damaged run does not say is None."""

    path: str
    recipe: str | None = None
    """Name of its recipe."""
    parameters: int | None = None
    step: int | None = None
    """Optimizer steps made."""
    loss: float | None = None
    """Lowest validation loss, in nats per token."""
    bits_per_byte: float | None = None
    """Of the evaluation with the lowest loss."""
    changed: float
    """When the log was last written, in seconds since 1970."""
    state: State
    """stopped: the last step was not evaluated, which every run does when its budget is spent."""
    problem: str | None = None
    """Why a damaged run cannot be opened."""


def list_runs(folders: Sequence[Path]) -> list[RunSummary]:
    """The runs in these folders, which may also be runs themselves or sweeps, the newest first."""
    found = {path.resolve(): path for folder in folders for path in _run_paths(folder)}
    return sorted(map(summarize, found.values()), key=lambda run: run.changed, reverse=True)


def summarize(path: Path) -> RunSummary:
    """How far the run of a folder came."""
    log = path / "log.jsonl"
    changed = next(file.stat().st_mtime for file in (log, path / RECIPE, path) if file.exists())
    try:
        return _summary(path, log, changed)
    except (UserError, OSError) as error:
        problem = str(error) if isinstance(error, UserError) else f"{error_reason(error)}: {error.filename}"
        return RunSummary(path=str(path), changed=changed, state="damaged", problem=problem)


def _summary(path: Path, log: Path, changed: float) -> RunSummary:
    recipe = RunFolder(path).recipe
    step, best, last_evaluated = _read_log(log)
    state: State = "finished" if step and last_evaluated == step else "stopped"
    if not log.exists() and (checkpoints := steps(path)):
        state, step = "imported", checkpoints[-1]
    return RunSummary(
        path=str(path),
        recipe=recipe.name,
        parameters=count_parameters(recipe.model).total,
        step=step,
        loss=best.get("loss"),
        bits_per_byte=best.get("bits_per_byte"),
        changed=changed,
        state="training" if _is_locked(path / ".lock") else state,
    )


def _run_paths(folder: Path) -> list[Path]:
    if _looks_like_run(folder):
        return [folder]
    inside = [path for pattern in ("*", "runs/*") for path in folder.glob(pattern)]
    return [path for path in inside if _looks_like_run(path)]


def _looks_like_run(path: Path) -> bool:
    try:
        return any((path / name).exists() for name in (RECIPE, "log.jsonl", "checkpoints"))
    except PermissionError:  # of a folder that may not be read: whether it is a run is unknown
        return False


def _read_log(log: Path) -> tuple[int, dict[str, Any], int]:
    """The last step, the evaluation with the lowest loss (empty if there is none), and the last step evaluated."""
    last_step, evaluations = b"", []
    if log.is_file():
        with log.open("rb") as file:
            for line in file:
                if line.startswith(b'{"event": "evaluation"'):
                    evaluations.append(_parse(line))
                elif line.startswith(b'{"event": "step"') and line.endswith(b"\n"):  # not torn
                    last_step = line
    step = _parse(last_step).get("step")
    scored = [each for each in evaluations if _is_number(each.get("loss")) and isinstance(each.get("step"), int)]
    best = min(scored, key=lambda each: each["loss"], default={})
    return step if type(step) is int else 0, best, scored[-1]["step"] if scored else 0


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_locked(lock: Path) -> bool:
    """Whether a process trains in the run folder now."""
    try:
        with lock.open(encoding="utf-8", errors="replace") as file:
            return not lock_file(file)
    except OSError:
        return False
