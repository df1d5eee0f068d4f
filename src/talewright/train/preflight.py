"""Whether a run will have room, said before it begins: on the disk for its checkpoints, in memory for its batches."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from talewright.config import ModelConfig, Recipe
from talewright.errors import UserError
from talewright.files import existing_parent, folder_size
from talewright.machine.limits import memory_available
from talewright.model.cost import run_bytes, training_bytes


def check_disk(recipe: Recipe, run: Path) -> None:
    """Raise UserError where the disk of the run folder, which need not be there yet, has no room for what comes."""
    needed, free = run_bytes(recipe) - folder_size(run), shutil.disk_usage(existing_parent(run)).free
    if needed > free:
        raise UserError(
            f"{run} needs {needed:,} bytes for its checkpoints and its log, and {free:,} are free there. Free some, "
            f"keep fewer checkpoints by --train.keep, which is {recipe.train.keep}, or name another disk by --out"
        )


def check_memory(
    recipe: Recipe,
    precision: str,
    processes: int = 1,
    available: int | None = None,
    teacher: ModelConfig | None = None,
) -> None:
    """Raise UserError where training on the processor would need more memory than there is, with a smaller micro-batch
    that makes the same batch and fits. `available` is measured unless told.
    """
    available = memory_available() if available is None else available
    needed = processes * training_bytes(recipe, precision, teacher)
    if available is None or needed <= available:
        return
    words = f"training {recipe.name} would take {_mib(needed)} of memory, and {_mib(available)} are free"
    train = recipe.train
    for micro_batch in range(train.micro_batch - 1, 0, -1):
        if train.micro_batch % micro_batch:
            continue
        accumulation = train.accumulation * train.micro_batch // micro_batch
        smaller = dataclasses.replace(train, micro_batch=micro_batch, accumulation=accumulation)
        needed = processes * training_bytes(dataclasses.replace(recipe, train=smaller), precision, teacher)
        if needed <= available:
            raise UserError(
                f"{words}. --train.micro-batch {micro_batch} --train.accumulation {accumulation} makes the same "
                f"batches with {_mib(needed)}"
            )
    raise UserError(f"{words}; one row at a time takes {_mib(needed)}. A smaller model, or a shorter context, would do")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
