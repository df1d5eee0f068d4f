"""Checks before training: disk space for the checkpoints, memory for the batches."""

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
    """Raise UserError if the disk of the run folder, which need not exist yet, lacks space for the whole run."""
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
    """Raise UserError if training on the CPU needs more memory than `available` (by default, what is available now).

    The message suggests a smaller micro-batch that makes the same batch and fits.
    """
    available = memory_available() if available is None else available
    needed = processes * training_bytes(recipe, precision, teacher)
    if available is None or needed <= available:
        return
    problem = f"training {recipe.name} needs {_mib(needed)} of memory, and {_mib(available)} are free"
    train = recipe.train
    for micro_batch in range(train.micro_batch - 1, 0, -1):
        if train.micro_batch % micro_batch:
            continue
        accumulation = train.accumulation * train.micro_batch // micro_batch
        smaller = dataclasses.replace(train, micro_batch=micro_batch, accumulation=accumulation)
        needed = processes * training_bytes(dataclasses.replace(recipe, train=smaller), precision, teacher)
        if needed <= available:
            raise UserError(
                f"{problem}. --train.micro-batch {micro_batch} --train.accumulation {accumulation} makes the same "
                f"batches with {_mib(needed)}"
            )
    raise UserError(f"{problem}; a micro-batch of 1 needs {_mib(needed)}. Use a smaller model or a shorter context")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
