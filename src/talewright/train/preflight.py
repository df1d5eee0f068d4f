"""Checks before training: disk space for the checkpoints, memory for the batches."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from talewright.config import ModelConfig, Recipe
from talewright.errors import UserError
from talewright.files import existing_parent, folder_size
from talewright.machine.limits import memory_available
from talewright.model.cost import activation_bytes, count_parameters, projection_sizes
from talewright.model.loss import LOGITS_AT_ONCE, ROWS_AT_ONCE
from talewright.model.loss import SLICE as LOSS_SLICE
from talewright.train.distillation import Teacher
from talewright.train.distributed import DistributedContext

EVALUATION_TOKENS = 8192
"""Tokens that an evaluation reads at once."""
HOLES, PASSING, AMONG_GRADIENTS = 1.2, 0.5, 0.5
"""What a heap holds for each byte of activations, measured: fragmentation and temporaries of the backward pass; more
with rotary positions, which make many temporaries, and more between the gradients of earlier micro-batches."""
HEAP_PAD = 1 << 26
"""Bytes that a heap which keeps freed memory takes beyond its need; see `machine.keep_heap`."""
LOG_BYTES = 250
"""Bytes of a step's line in the log, with its share of evaluations and samples."""


def preflight(recipe: Recipe, distributed: DistributedContext, run: Path, teacher: Teacher | None) -> None:
    """Raise UserError if the disk or the memory would not suffice; a GPU's memory is not checked."""
    if distributed.fabric.is_global_zero:
        check_disk(recipe, run)
    if distributed.fabric.device.type == "cpu":
        shape = teacher and teacher.model.config
        check_memory(recipe, distributed.precision, recipe.train.devices, teacher=shape)


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


def state_bytes(recipe: Recipe) -> int:
    """Bytes of the float32 weights, their moving average if any, and the optimizer's state: AdamW keeps two values for
    each weight, Muon one.
    """
    config = recipe.model
    moved = config.n_layers * sum(projection_sizes(config)) if recipe.optimizer.kind == "muon" else 0
    return 4 * ((4 if recipe.train.average else 3) * count_parameters(config).total - moved)


def run_bytes(recipe: Recipe) -> int:
    """Most bytes that a run folder takes on disk: the checkpoints that are kept, the best, the one being written, the
    log (if the number of steps is set), and half a megabyte for everything small.
    """
    train, saves = recipe.train, recipe.train.keep + 2
    steps = train.max_steps or 0
    if steps:
        saves = min(saves, steps)
    return saves * state_bytes(recipe) + LOG_BYTES * steps + 2**19


def training_bytes(recipe: Recipe, precision: str, teacher: ModelConfig | None = None) -> int:
    """Most bytes of memory that a process needs to train the recipe on a CPU, beyond the program itself.

    Weights and optimizer state are always there, in float32. Added to them is the largest of three peaks: after the
    loss of a micro-batch (activations, the slices of the loss, and the gradients of earlier micro-batches), during an
    update (all gradients), and during an evaluation. A teacher of that shape adds its weights and its outputs.
    """
    config, train = recipe.model, recipe.train
    P, V, D = count_parameters(config).total, config.vocab_size, config.d_model
    e = 4 if precision == "fp32" else 2
    rows = train.micro_batch * recipe.sequence_length
    loss = 3 * e * min(rows, LOSS_SLICE // V) * V + (4 + 2 * e) * V * D + 2 * e * rows * D
    holes = HOLES + PASSING * (config.positions == "rotary") + AMONG_GRADIENTS * (train.accumulation > 1)
    kept = holes * rows * activation_bytes(config, recipe.sequence_length, e) + (e * P if e < 4 else 0)
    gradients = 4 * P if train.accumulation > 1 else 0
    scoring = EVALUATION_TOKENS * ((16 + 6 * e) * D + 3 * e * config.d_ff) + 24 * max(LOGITS_AT_ONCE, ROWS_AT_ONCE * V)
    held, before = state_bytes(recipe), 0.0
    if teacher is not None:  # its forward pass comes first, and only its last hidden states are kept
        E, slices = teacher.d_model, 3 * e * min(rows, LOSS_SLICE // V) * V
        held += 4 * count_parameters(teacher).total
        before = rows * ((16 + 6 * e) * E + 3 * e * teacher.d_ff)
        loss += slices + e * V * E + 4 * rows * E
    return round(held + max(kept + loss + gradients, before + gradients, 4 * P + 8 * V * D, scoring) + HEAP_PAD)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
