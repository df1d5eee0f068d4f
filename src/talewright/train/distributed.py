"""The processes of a run: how they start, what each contributes to a batch, and whether to compile the model."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import Precision, choose_precision, compiler
from talewright.model.cost import training_flops
from talewright.train.schedule import Budget

CPU_FLOPS = 1e11
"""Approximate FLOP/s of training on two cores."""
MIN_COMPILE_SECONDS = 300.0
"""Shorter training does not repay half a minute of compiling."""


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a run, of which this is one, and the precision of their matrix products."""

    fabric: Fabric
    precision: Precision


def launch(recipe: Recipe) -> DistributedContext:
    """Start the recipe's processes on its devices; the others run this command from the start up to this call.

    Raises UserError if this machine lacks the devices.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    train = recipe.train
    options: dict[str, Any] = {"accelerator": train.accelerator, "devices": train.devices, "num_nodes": train.nodes}
    try:
        device = Fabric(**options).device
    except (ValueError, RuntimeError) as error:  # what Fabric raises for a missing device
        wanted = f"train.accelerator {train.accelerator}, train.devices {train.devices}"
        raise UserError(f"this machine has no {wanted}: {error}") from None
    precision = choose_precision(train.precision, device)
    plugin = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision]
    fabric = Fabric(precision=cast(Any, plugin), **options)
    fabric.launch()
    return DistributedContext(fabric, precision)


def per_rank_batch(recipe: Recipe, world_size: int) -> tuple[int, int]:
    """Micro-batch and accumulation of each process; all processes together make the recipe's batch.

    The losses are those of one process, but for rounding; with dropout only where the accumulation is divided. Dropout
    is drawn for a whole micro-batch at once, in a GPU's kernels too, so that a divided one draws other numbers.
    """
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % world_size == 0:
        return micro_batch, accumulation // world_size
    return micro_batch // world_size, accumulation


def should_compile(recipe: Recipe, device: torch.device, budget: Budget) -> bool:
    """Whether to use torch.compile: what the recipe says, or for `auto`, where it is available and saves time."""
    wanted = recipe.train.compile
    if wanted is True and device.type == "cpu" and compiler() is None:
        raise UserError("train.compile is true, and there is no C++ compiler here; install g++, or leave it on auto")
    if wanted != "auto" or device.type == "cuda":
        return wanted is not False
    return device.type == "cpu" and compiler() is not None and _saves_time_on_cpu(recipe, budget)


def _saves_time_on_cpu(recipe: Recipe, budget: Budget) -> bool:
    """Compiling takes half a minute. It fuses the many small operators of our RMSNorm and what comes with it, a third
    of such a model's step. LayerNorm is one operator already, and dropout is slower when compiled.
    """
    tokens = recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length
    step_seconds = training_flops(recipe.model, recipe.sequence_length) * tokens / CPU_FLOPS
    steps_limit = math.inf if budget.max_steps is None else step_seconds * budget.max_steps
    seconds = min(steps_limit, math.inf if budget.max_seconds is None else budget.max_seconds)
    return seconds >= MIN_COMPILE_SECONDS and recipe.model.norm == "rmsnorm" and not recipe.model.dropout
