"""The checkpoints of a run: which is the best and the last, which are deleted, what happens to damaged ones.

`checkpoints/best` and `checkpoints/last` are one-line files that name a checkpoint folder. A folder named `step-N` was
complete when it was written; a disk can damage it later, so it is checked before use.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from talewright.errors import UserError
from talewright.files import error_reason, partial_folder, remove_folder, rename, replaced_folder, write_text_atomic
from talewright.run.checkpoint import FILES, WEIGHTS, TrainState, UnsavedError, check, checkpoint_folder, read_state

logger = logging.getLogger(__name__)


def point(run: Path, name: str, step: int) -> None:
    """Make `checkpoints/best` or `last` name a step. Raises UnsavedError if it cannot be written."""
    try:
        write_text_atomic(run / "checkpoints" / name, f"step-{step}\n")
    except OSError as error:
        raise UnsavedError(f"cannot write {run / 'checkpoints' / name}: {error_reason(error)}") from None


def apply_retention(run: Path, state: TrainState, newest: int) -> None:
    """After a save: update `last` and `best`, then delete all but the `newest` checkpoints and the best."""
    point(run, "last", state.step)
    if state.best_step == state.step:
        point(run, "best", state.step)
    for step in steps(run)[:-newest]:
        if step != state.best_step:
            with suppress(OSError):  # otherwise it is tried again after the next save
                remove_folder(checkpoint_folder(run, step))


def steps(run: Path) -> list[int]:
    """Steps that have a checkpoint folder, oldest first. Raises UserError if their folder may not be read: a run that
    seems to have none would begin again.
    """
    folder = run / "checkpoints"
    try:
        names = [path.name for path in folder.iterdir() if path.name.startswith("step-") and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error_reason(error)}") from None
    found = [(step, name) for name in names if (step := _step_of(name.removeprefix("step-"))) is not None]
    return sorted(step for step, name in found if name == f"step-{step}")  # a copy may be called step-04


def find_checkpoint(run: Path, which: str = "best") -> Path:
    """The run's checkpoint `best`, `last`, or a step number. Raises UserError if there is none."""
    present = steps(run)
    if not present:
        raise UserError(f"{run} has no checkpoint yet; let it train to its first evaluation")
    step = _pointed_step(run, which) if which in ("best", "last") else _step_of(which)
    if step in present:
        return checkpoint_folder(run, step)
    if which in ("best", "last"):
        return checkpoint_folder(run, present[-1])
    raise UserError(f"{run} has no checkpoint {which}; it has best, last, " + ", ".join(map(str, present)))


def whole_checkpoint(run: Path, which: str) -> Path:
    """Like `find_checkpoint`, with undamaged weights: the newest whole checkpoint replaces a damaged or missing best or
    last.

    A replacement is logged as a warning. Raises UserError if no checkpoint is whole, or the named step is damaged.
    """
    wanted = find_checkpoint(run, which)
    fault = check(wanted, (WEIGHTS,))
    if fault is None:
        if (missing := _missing_step(run, which)) is not None:
            logger.warning("%s is missing. Using %s instead", checkpoint_folder(run, missing), wanted.name)
        return wanted
    if not wanted.is_dir():  # a training run has just deleted it
        return whole_checkpoint(run, which)
    whole = [folder for step in steps(run) if not check(folder := checkpoint_folder(run, step), (WEIGHTS,))]
    if which not in ("best", "last") or not whole:
        others = ", ".join(folder.name.removeprefix("step-") for folder in whole) or "none"
        raise UserError(f"{wanted} is damaged: {fault}. Whole checkpoints of this run: {others}")
    logger.warning("%s is damaged: %s. Using %s instead", wanted, fault, whole[-1].name)
    return whole[-1]


def newest_state(run: Path) -> TrainState | None:
    """How far the run has come by its newest whole checkpoint; None without one. Changes nothing."""
    folders = (checkpoint_folder(run, step) for step in reversed(steps(run)))
    return next((read_state(folder) for folder in folders if check(folder) is None), None)


def recover(run: Path) -> Path | None:
    """The newest whole checkpoint, from which a stopped run continues; None if there is none yet.

    Cleans up after an interrupted save, renames damaged checkpoints to `damaged-step-N` with a warning, and makes
    `best` and `last` name whole ones. Raises UserError if all are damaged, or the folder cannot be written.
    """
    try:
        _clean_up(run)
        damaged = [step for step in steps(run) if _set_aside_if_damaged(run, step)]
    except OSError as error:
        raise UserError(f"{run / 'checkpoints'} cannot be repaired: {error_reason(error)}") from None
    whole = steps(run)
    if not whole:
        if damaged:
            raise UserError(f"every checkpoint of {run} is damaged. The same command again starts from step 0")
        return None
    newest = checkpoint_folder(run, whole[-1])
    if damaged:
        logger.warning("Resuming from %s, the newest whole checkpoint", newest.name)
    best = next(step for step in (read_state(newest).best_step, _pointed_step(run, "best"), whole[-1]) if step in whole)
    for name, step in (("last", whole[-1]), ("best", best)):
        if (missing := _missing_step(run, name)) is not None and missing not in damaged:
            logger.warning(
                "%s, the %s checkpoint, is missing. It is now step-%d", checkpoint_folder(run, missing), name, step
            )
        if _pointed_step(run, name) != step:
            point(run, name, step)
    return newest


def _pointed_step(run: Path, which: str) -> int | None:
    """The step that `checkpoints/best` or `last` names."""
    try:
        name = (run / "checkpoints" / which).read_text(encoding="utf-8").strip().removeprefix("step-")
    except (OSError, ValueError):
        return None
    return _step_of(name)


def _missing_step(run: Path, which: str) -> int | None:
    """The step that `best` or `last` names, if its folder is not there."""
    step = _pointed_step(run, which) if which in ("best", "last") else None
    gone = step is not None and not checkpoint_folder(run, step).is_dir()
    return step if gone and _pointed_step(run, which) == step else None  # otherwise a training run has moved on


def _step_of(text: str) -> int | None:
    """The step that a text names. Python reads no number of thousands of digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _set_aside_if_damaged(run: Path, step: int) -> bool:
    """Rename a damaged checkpoint. Returns whether it was damaged. Raises UserError if a file of it may not be read."""
    folder = checkpoint_folder(run, step)
    fault = check(folder, FILES)
    if fault is None:
        return False
    if locked := next((path for path in folder.iterdir() if not os.access(path, os.R_OK)), None):
        raise UserError(f"{locked} may not be read, so whether it is damaged is unknown. Make it readable")
    aside = folder.with_name(f"damaged-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    rename(folder, aside)
    logger.warning("%s is damaged: %s. Renamed to %s", folder, fault, aside.name)
    return True


def _clean_up(run: Path) -> None:
    """Undo an interrupted save: restore what it was about to replace, delete what is incomplete."""
    for step in steps(run):
        shutil.rmtree(replaced_folder(checkpoint_folder(run, step)), ignore_errors=True)
    for path in (run / "checkpoints").glob(replaced_folder(Path("*")).name):
        rename(path, path.with_name(path.name.removeprefix(".").removesuffix(".replaced")))
    for pattern in (partial_folder(Path("*")).name, "*.part"):
        for path in (run / "checkpoints").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
