"""The checkpoints of a run: which there are, which are the best and the last, which go, and what is done with damage.

`checkpoints/best` and `checkpoints/last` are one-line files that name one of the folders. A folder called `step-N` is
always whole, as far as we made it; what lies on a disk can be damaged later, and is checked before it is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from talewright.errors import UserError
from talewright.files import write_text_atomic
from talewright.run.checkpoint import (
    FILES,
    WEIGHTS,
    State,
    UnsavedError,
    check,
    read_state,
    reason,
    remove_checkpoint,
    replaced_name,
)


def point(run: Path, name: str, step: int) -> None:
    """Have `checkpoints/best` or `last` name a step, in one move. Raises UnsavedError where it cannot be written."""
    try:
        write_text_atomic(run / "checkpoints" / name, f"step-{step}\n")
    except OSError as error:
        raise UnsavedError(f"cannot write {run / 'checkpoints' / name}: {reason(error)}") from None


def keep(run: Path, state: State, newest: int) -> None:
    """After a save: `last` and `best` name what they should, then all but the `newest` ones and the best go."""
    point(run, "last", state.step)
    if state.best_step == state.step:
        point(run, "best", state.step)
    for step in steps(run)[:-newest]:
        if step != state.best_step:
            with suppress(OSError):  # else it stays, and is tried again after the next save
                remove_checkpoint(folder_of(run, step))


def steps(run: Path) -> list[int]:
    """Steps that have a checkpoint folder, oldest first."""
    names = [path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step}"


def find_checkpoint(run: Path, which: str = "best") -> Path:
    """The run's checkpoint of that name: best, last, or a step's number. Raises UserError where there is none."""
    found = steps(run)
    if not found:
        raise UserError(f"{run} has no checkpoint yet; let it train to its first evaluation")
    step = int(which) if which.isascii() and which.isdigit() else _named(run, which)
    if step in found:
        return folder_of(run, step)
    if which in ("best", "last"):
        return folder_of(run, found[-1])
    raise UserError(f"{run} has no checkpoint {which}; it has best, last, " + ", ".join(map(str, found)))


def whole_checkpoint(run: Path, which: str, say: Callable[[str], None]) -> Path:
    """As `find_checkpoint`, and its weights are whole: in place of a damaged best or last one, which is named by `say`,
    the newest whole one. Raises UserError where there is none, or where a step was asked for and is damaged.
    """
    wanted = find_checkpoint(run, which)
    fault = check(wanted, (WEIGHTS,))
    if fault is None:
        return wanted
    whole = [folder_of(run, step) for step in steps(run) if not check(folder_of(run, step), (WEIGHTS,))]
    if which not in ("best", "last") or not whole:
        others = ", ".join(folder.name.removeprefix("step-") for folder in whole) or "none"
        raise UserError(f"{wanted} is damaged: {fault}. Whole checkpoints of this run: {others}")
    say(f"{wanted} is damaged: {fault}. {whole[-1].name} is taken in its place")
    return whole[-1]


def recover(run: Path, say: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint, from which a stopped run goes on; None where it had made none.

    What an interrupted save left goes. A damaged checkpoint is set aside as `damaged-step-N`, and said; then `best` and
    `last` name whole ones. Raises UserError where all are damaged, or the folder cannot be written.
    """
    try:
        _tidy(run)
        damaged = [step for step in steps(run) if _set_aside(run, step, say)]
    except OSError as error:
        raise UserError(f"{run / 'checkpoints'} cannot be put in order: {reason(error)}") from None
    whole = steps(run)
    if not whole:
        if damaged:
            raise UserError(f"every checkpoint of {run} is damaged; the same command again begins it anew, at step 0")
        return None
    newest = folder_of(run, whole[-1])
    if damaged:
        say(f"going on from {newest.name}, the newest whole checkpoint")
    best = next(step for step in (read_state(newest).best_step, _named(run, "best"), whole[-1]) if step in whole)
    for name, step in (("last", whole[-1]), ("best", best)):
        if _named(run, name) != step:
            point(run, name, step)
    return newest


def _named(run: Path, which: str) -> int | None:
    """The step that `checkpoints/best` or `last` names."""
    try:
        word = (run / "checkpoints" / which).read_text(encoding="utf-8").strip().removeprefix("step-")
    except (OSError, ValueError):
        return None
    return int(word) if word.isascii() and word.isdigit() else None


def _set_aside(run: Path, step: int, say: Callable[[str], None]) -> bool:
    """Whether the checkpoint was damaged, and has therefore another name now."""
    folder = folder_of(run, step)
    fault = check(folder, FILES)
    if fault is None:
        return False
    aside = folder.with_name(f"damaged-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    say(f"{folder} is damaged: {fault}. It is set aside as {aside.name}")
    return True


def _tidy(run: Path) -> None:
    """Undo what an interrupted save left: what it was about to replace stands again, the half-made goes."""
    for step in steps(run):
        shutil.rmtree(replaced_name(folder_of(run, step)), ignore_errors=True)
    for path in (run / "checkpoints").glob(".*.replaced"):
        path.rename(path.with_name(path.name.removeprefix(".").removesuffix(".replaced")))
    for pattern in (".*.partial", "*.part"):
        for path in (run / "checkpoints").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
