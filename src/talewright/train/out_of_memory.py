"""A clear error where memory runs out during training."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.files import shell_word
from talewright.machine.gpu_memory import SIGNS
from talewright.run.retention import steps
from talewright.train.distillation import Teacher
from talewright.train.distributed import DistributedContext
from talewright.train.memory import MemoryNeed, mebibytes

MESSAGES = (
    "DefaultCPUAllocator",  # torch on a CPU: "can't allocate memory", "not enough memory"
    "std::bad_alloc",  # C++ below torch
    *SIGNS,
)
"""Parts of the messages of a RuntimeError for want of memory."""
MARGIN = 0.95
"""Fraction of the memory that a suggested micro-batch may need: it must not run out again."""


@contextmanager
def explain_out_of_memory(
    recipe: Recipe, distributed: DistributedContext, run: Path, teacher: Teacher | None
) -> Iterator[None]:
    """Turn an error for want of memory into a UserError that says what is saved, and which micro-batch would fit."""
    need = MemoryNeed.of(recipe, distributed, teacher)
    available = need.available()
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(_message(need, available, run)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is for want of memory, on a CPU or a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def _message(need: MemoryNeed, available: int | None, run: Path) -> str:
    """The error's message. If the estimate was below what was free when training began, and that did not suffice, all
    estimates are scaled up by their quotient: a smaller micro-batch then fits if its estimate is below this one's.
    """
    had = "" if available is None else f" of {mebibytes(available)}"
    batch = need.recipe.train.micro_batch
    problem = f"training {need.recipe.name} ran out of {need.where}{had} with a micro-batch of {batch}"
    needed = need.needed()
    smaller = need.smaller_batch(MARGIN * min(needed, needed if available is None else available))
    saved = f"The newest checkpoint is step {steps(run)[-1]:,}" if steps(run) else "Nothing is saved yet"
    if smaller is None:
        return f"{problem}, and a smaller one would not fit. {saved}. Use a smaller model or a shorter context"
    again = f"--resume {shell_word(str(run))} " if (run / "recipe.yaml").is_file() else ""
    return (
        f"{problem}. {saved}. {again}--train.micro-batch {smaller.micro_batch} --train.accumulation "
        f"{smaller.accumulation} makes the same batches with less"
    )
