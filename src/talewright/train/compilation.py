"""Whether to compile the model."""

from __future__ import annotations

import math

import torch

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.machine import compiler
from talewright.model.cost import training_flops
from talewright.train.schedule import Budget

CPU_FLOPS = 1e11
"""Approximate FLOP/s of training on two cores."""
MIN_COMPILE_SECONDS = 300.0
"""Shorter training does not repay half a minute of compiling."""


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
