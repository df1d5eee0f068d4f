"""The processes of a run: how they are started, and what of a batch each of them takes."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, cast

import torch
from lightning_fabric import Fabric

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import Precision, choose_precision, compiler


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


def should_compile(recipe: Recipe, device: torch.device) -> bool:
    """Whether to use torch.compile: as told, or where it pays and can be had."""
    wanted = recipe.train.compile
    if wanted is True and device.type == "cpu" and compiler() is None:
        raise UserError("train.compile is true, and there is no C++ compiler here; install g++, or leave it on auto")
    return wanted is True or (wanted == "auto" and device.type == "cuda")


def share_of_batch(recipe: Recipe, processes: int) -> tuple[int, int]:
    """Micro-batch and accumulation of each process: together they always make the recipe's batch."""
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % processes == 0:
        return micro_batch, accumulation // processes
    return micro_batch // processes, accumulation
