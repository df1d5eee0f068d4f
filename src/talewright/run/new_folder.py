"""The folder of a new run: whether it may begin there, and what is removed if it does not get to its first step."""

from __future__ import annotations

import errno
import os
import shutil
from itertools import count
from pathlib import Path

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.files import portable_name, read_json, shell_word
from talewright.run import retention
from talewright.run.draft import DRAFT
from talewright.run.history import read_history

RECIPE, METADATA, INITIAL = "recipe.yaml", "data.json", "initial"
FIRST_FOLDERS, FIRST_FILES = ("tokenizer", INITIAL), (DRAFT, "log.jsonl", "samples.jsonl", METADATA)
"""What a run writes before its first step, besides its recipe."""


class TakenError(UserError):
    """The folder of a new run belongs to something else, and stays as it is."""


def new_run_path(recipe: Recipe, out: str | Path | None = None) -> Path:
    """The path of a new run: `out`, or the next free runs/NAME-N. Raises TakenError if it holds a run already, or
    what a run would overwrite.
    """
    if out is None:
        name = portable_name(recipe.name)
        return next(path for n in count(1) if not (path := Path("runs") / f"{name}-{n}").exists())
    path = Path(out)
    check_readable(path)
    nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file; --out names a folder for the run")
    if (path / RECIPE).exists():
        raise TakenError(
            f"{path} holds a run already; resume it with --resume {shell_word(str(path))}, or use another --out"
        )
    if taken := _names_in_the_way(path):
        raise TakenError(f"{path} holds {', '.join(taken)}, where a run has its own; name another folder with --out")
    return path


def _names_in_the_way(path: Path) -> list[str]:
    """What a folder holds under the names of a run's files, unless a run that was stopped while it began left it."""
    metadata = read_json(path / METADATA)
    if isinstance(metadata, dict) and "fingerprint" in metadata and not retention.steps(path):
        return []
    return [name for name in (*FIRST_FILES, *FIRST_FOLDERS, "checkpoints", "timeline") if (path / name).exists()]


def check_readable(path: Path) -> None:
    """Raise UserError if safetensors, which reads weights by their path, could not read any there, or if the path is a
    link that leads to itself.
    """
    try:
        os.fsencode(path).decode()  # the bytes of the name, whatever the terminal's encoding makes of them
    except UnicodeError:
        raise UserError(
            f"the name {path} is not UTF-8, and no weights could be read there; give the folder a name in UTF-8"
        ) from None
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path} is a link that leads to itself; name another folder") from None


def is_unused(path: Path) -> bool:
    """Whether a folder is missing or empty, but for the lock of a run that never began."""
    return not path.exists() or (path.is_dir() and all(entry.name == ".lock" for entry in path.iterdir()))


def discard_begun(path: Path, unused: bool) -> None:
    """Remove what a run wrote before its first step, so that the corrected command may use the folder: all of it, if
    the folder was `unused` before. A run that made a step is kept.
    """
    if retention.steps(path) or read_history(path).steps:
        return
    (path / RECIPE).unlink(missing_ok=True)  # first: it makes the folder a run
    for name in FIRST_FOLDERS:
        shutil.rmtree(path / name, ignore_errors=True)
    for name in FIRST_FILES:
        (path / name).unlink(missing_ok=True)
    if unused:
        shutil.rmtree(path, ignore_errors=True)
