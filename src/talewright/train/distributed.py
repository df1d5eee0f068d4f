"""The processes of a run: how they are started, and what of a batch each of them takes."""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple, cast

import torch
from lightning_fabric import Fabric

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import Precision, choose_precision, compiler
from talewright.model.cost import training_flops
from talewright.train.schedule import Budget

CPU_SPEED = 1e11
"""Floating-point operations a second, about, that training has on two cores."""
LONG = 300.0
"""Seconds of training that are worth half a minute of compiling."""


class Launched(NamedTuple):
    """The processes of a run, of which this is one, and the precision of their matrix products."""

    fabric: Fabric
    precision: Precision


def launch(recipe: Recipe) -> Launched:
    """Start the recipe's processes on its devices: the others run this command from its beginning, up to here.

    Raises UserError where this machine does not have them.
    """
    train = recipe.train
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the display says what there is to say
    try:
        probe = Fabric(accelerator=train.accelerator, devices=train.devices, num_nodes=train.nodes)
        precision = choose_precision(train.precision, probe.device)
        plugin = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision]
        options = {"accelerator": train.accelerator, "devices": train.devices, "num_nodes": train.nodes}
        fabric = Fabric(precision=cast(Any, plugin), **options)
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:  # Fabric's words for a device that is not there
        wanted = f"train.accelerator {train.accelerator}, train.devices {train.devices}"
        raise UserError(f"this machine has no {wanted}: {error}") from None
    fabric.launch()
    return Launched(fabric, precision)


def should_compile(recipe: Recipe, device: torch.device, budget: Budget) -> bool:
    """Whether to use torch.compile: as told, or where it pays and can be had."""
    wanted = recipe.train.compile
    if wanted is True and device.type == "cpu" and compiler() is None:
        raise UserError("train.compile is true, and there is no C++ compiler here; install g++, or leave it on auto")
    if wanted != "auto" or device.type == "cuda":
        return wanted is not False
    return device.type == "cpu" and compiler() is not None and _pays_on_a_cpu(recipe, budget)


def _pays_on_a_cpu(recipe: Recipe, budget: Budget) -> bool:
    """RMSNorm, as we write it, and what comes with it are many small operators, which a compiler makes one: a third
    of such a model's step. LayerNorm is one already, and dropout is slower compiled. Compiling takes half a minute.
    """
    tokens = recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length
    needs = training_flops(recipe.model, recipe.sequence_length) * tokens / CPU_SPEED
    steps = math.inf if budget.max_steps is None else needs * budget.max_steps
    seconds = min(steps, math.inf if budget.max_seconds is None else budget.max_seconds)
    return seconds >= LONG and recipe.model.norm == "rmsnorm" and not recipe.model.dropout


def share_of_batch(recipe: Recipe, processes: int) -> tuple[int, int]:
    """Micro-batch and accumulation of each process: together they always make the recipe's batch."""
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % processes == 0:
        return micro_batch, accumulation // processes
    return micro_batch // processes, accumulation
