"""Whether the trials that train at once fit in the memory together."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import choose_precision, default_device
from talewright.machine.limits import memory_available
from talewright.scaling.sweep.reading import Sweep, recipes
from talewright.train.distillation import teacher_shape
from talewright.train.memory import MemoryNeed, mebibytes

CPU = torch.device("cpu")
PROGRAM_BYTES = 300 << 20
"""What a training process takes for the program itself: Python, torch and what they load."""


def check_memory_of_jobs(sweep: Sweep, jobs: int) -> None:
    """Raise UserError if so many trials on the CPU need more memory together than is free.

    A training looks only at what is free when it begins, and does not see what its neighbors will take. One at a time
    is left to its own check.
    """
    available, each = memory_available(jobs), max(_needs(sweep), default=0)
    if jobs == 1 or available is None or jobs * each <= available:
        return
    raise UserError(
        f"--jobs {jobs} trains {jobs} models at once, which needs about {mebibytes(jobs * each)} of memory, and "
        f"{mebibytes(available)} are free. Use --jobs {max(1, available // each)}"
    )


def _needs(sweep: Sweep) -> Iterator[int]:
    for recipe in recipes(sweep):
        if recipe.train.accelerator == "cpu" or default_device().type == "cpu":
            yield PROGRAM_BYTES + _need(recipe).needed()


def _need(recipe: Recipe) -> MemoryNeed:
    precision = choose_precision(recipe.train.precision, CPU)
    return MemoryNeed(recipe, precision, CPU, teacher_shape(recipe), recipe.train.devices * recipe.train.nodes)
