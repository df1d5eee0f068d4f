"""Checks before training: disk space for the checkpoints, memory for the batches."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.files import existing_parent, folder_size
from talewright.model.cost import count_parameters
from talewright.train.distillation import Teacher
from talewright.train.distributed import DistributedContext
from talewright.train.memory import MemoryNeed, mebibytes, state_bytes

logger = logging.getLogger(__name__)

LOG_BYTES = 250
"""Bytes of a step's line in the log, with its share of evaluations and samples."""


def preflight(recipe: Recipe, distributed: DistributedContext, teacher: Teacher | None, force: bool = False) -> None:
    """Raise UserError if the memory of this process would not suffice; with `force`, only warn."""
    need = MemoryNeed.of(recipe, distributed, teacher)
    available = need.available()
    try:
        if available is not None:
            check_memory(need, available)
    except UserError as error:
        if not force:
            raise UserError(f"{error}. --force trains anyway") from None
        logger.warning("%s", error)


def check_disk(recipe: Recipe, run: Path) -> None:
    """Raise UserError if the disk of the run folder, which need not exist yet, lacks space for the whole run."""
    needed, free = run_bytes(recipe) - folder_size(run), shutil.disk_usage(existing_parent(run)).free
    if needed > free:
        raise UserError(
            f"{run} needs {needed:,} bytes for its checkpoints and its log, and {free:,} are free there. Free some, "
            f"keep fewer checkpoints with --train.keep (now {recipe.train.keep}), or choose another disk with --out"
        )


def check_memory(need: MemoryNeed, available: int) -> None:
    """Raise UserError if training needs more memory than `available`.

    The message suggests a smaller micro-batch that makes the same batch and fits.
    """
    needed = need.needed()
    if needed <= available:
        return
    wanted, free = f"{mebibytes(needed)} of {need.where}", mebibytes(available)
    problem = f"training {need.recipe.name} needs about {wanted}, and {free} are free"
    smaller = need.smaller_batch(available)
    if smaller is None:
        raise UserError(f"{problem}; even a micro-batch of 1 needs more. Use a smaller model or a shorter context")
    raise UserError(
        f"{problem}. --train.micro-batch {smaller.micro_batch} --train.accumulation {smaller.accumulation} makes the "
        f"same batches with {mebibytes(smaller.needed)}"
    )


def run_bytes(recipe: Recipe) -> int:
    """Most bytes that a run folder takes on disk: the checkpoints that are kept, the best, the one being written, those
    of the timeline, the log (if the number of steps is set), and half a megabyte for everything small.
    """
    train, saves, points = recipe.train, recipe.train.keep + 2, recipe.train.timeline_checkpoints
    steps = train.max_steps or 0
    if steps:
        saves, points = min(saves, steps), min(points, steps)
    light = 2 * count_parameters(recipe.model).total  # bfloat16
    return saves * state_bytes(recipe) + points * light + LOG_BYTES * steps + 2**19
