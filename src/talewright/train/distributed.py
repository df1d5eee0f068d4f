"""The processes of a run: how they start, and what each contributes to a batch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

from lightning_fabric import Fabric

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import Precision, choose_precision


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
    """Micro-batch and accumulation of each process; all processes together make the recipe's batch."""
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % world_size == 0:
        return micro_batch, accumulation // world_size
    return micro_batch // world_size, accumulation
