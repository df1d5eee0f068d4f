"""The command `runs`."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from talewright.cli.common import Json, logger, to_json
from talewright.cli.words import show
from talewright.errors import UserError

if TYPE_CHECKING:
    from talewright.run.listing import RunSummary

Folders = Annotated[tuple[str, ...], Positional, arg(metavar="[FOLDER ...]")]


def runs(folders: Folders = (), json: Json = False) -> None:
    """List runs, the newest first: size, step, best validation loss and bits per byte, and whether they still train.

    Args:
        folders: Folders of runs, or sweeps. Default: runs/ and every sweep under sweeps/.
    """
    from talewright.run.listing import list_runs

    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"{folder} is not a folder; name one that holds runs, such as runs")
    named = [Path(folder) for folder in folders] or [Path("runs"), *sorted(Path("sweeps").glob("*"))]
    found = list_runs(named)
    if json:
        show(to_json([asdict(run) for run in found]))
    elif not found:
        logger.info(
            "no runs in %s. `talewright demo` makes a first one; `talewright generate` without a run uses the model "
            "that comes with Talewright",
            ", ".join(folders) or "runs/ and sweeps/",
        )
    else:
        show(runs_table(found, time.time(), shutil.get_terminal_size().columns))


def runs_table(found: Sequence[RunSummary], now: float, width: int) -> str:
    """The runs as lines of text. A narrow terminal leaves out columns, never a part of a path."""
    from talewright.cli.tables import duration, megas, text_table

    columns = {
        "run": [run.path for run in found],
        "recipe": [run.recipe or "" for run in found],
        "size": ["" if run.parameters is None else megas(run.parameters) for run in found],
        "step": ["" if run.step is None else f"{run.step:,}" for run in found],
        "loss": ["" if run.loss is None else f"{run.loss:.3f}" for run in found],
        "bits/byte": ["" if run.bits_per_byte is None else f"{run.bits_per_byte:.3f}" for run in found],
        "age": [duration(max(0.0, now - run.changed)) for run in found],
        "state": [run.state for run in found],
    }
    table = text_table(columns, width, droppable=("recipe", "size", "loss"))
    damaged = [textwrap.fill(" ".join(f"{run.path}: {run.problem}".split()), width) for run in found if run.problem]
    return "\n\n".join([table, *damaged])
