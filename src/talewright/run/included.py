"""The included model: a trained run that the package holds, so that the commands work before anything is trained.

It is a run folder like any other, but for three things. Its matrices are stored in 8 bits (see `checkpoint.py`). Its
training stories are not part of the package, as those of an imported run are not. Nothing is ever written into it:
what commands write about it goes into a folder in the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from talewright.errors import UserError
from talewright.files import existing_parent

INCLUDED = "included"
"""The name of the run."""
FOLDER = Path(__file__).resolve().parents[1] / INCLUDED
RESULTS = Path("included-results")
"""What commands write about it, in the working directory."""


def run_path(name: str | Path) -> Path:
    """The folder of a run. `included` is the included model, unless a run folder of that name lies here."""
    path = Path(name)
    return FOLDER if path == Path(INCLUDED) and not (path / "recipe.yaml").is_file() else path


def is_included(run: Path) -> bool:
    """Whether a run folder is that of the included model."""
    return run.resolve() == FOLDER


def results_path(run: Path) -> Path:
    """Where to write what a command finds about a run: its own folder; for the included model, one that lies here."""
    return RESULTS if is_included(run) else run


def writable_results(run: Path, out: str | Path | None) -> Path:
    """The folder `out`, or that of `results_path`. Raises UserError, before anything is measured, if it may not be
    written.
    """
    folder = results_path(run) if out is None else Path(out)
    if not os.access(existing_parent(folder), os.W_OK):
        raise UserError(f"{folder} cannot be written; name another folder with --out")
    return folder
