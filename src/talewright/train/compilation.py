"""Whether to compile the model, and a compiled model that falls back to eager execution."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from talewright.config import Recipe
from talewright.machine import choose_precision, compile_failure
from talewright.machine.compilers import explain_failure
from talewright.machine.peak import known_peak
from talewright.machine.speeds import read_speed
from talewright.model.cost import training_flops
from talewright.train.schedule import Budget
from talewright.train.setup_name import setup_name

logger = logging.getLogger(__name__)

CPU_FLOPS = 1e11
"""Approximate FLOP/s of eager training on two cores without matrix units."""
CPU_UTILIZATION, GPU_UTILIZATION = 0.2, 0.4
"""Fraction of the peak of matrix products that eager training reaches; on a GPU at the very most."""
KERNELS, LAUNCH_SECONDS = 75, 10e-6
"""Kernels that an eager GPU launches for a layer and a micro-batch, forward and backward, and the time of a launch."""
CPU_SECONDS, GPU_SECONDS = 30.0, 40.0
"""Time until the first step of a shape that is compiled for the first time. On two CPU cores it took 12 to 36 s
(docs/LOG.md); on a GPU it is assumed."""
CACHED_SECONDS = 5.0
"""The same for a shape whose compiled code is kept: its block is traced again."""
PAYS_AFTER = 1.5
"""Length of a run, in times at which compiling breaks even, from which it is worth it: compile times vary."""


def should_compile(recipe: Recipe, device: torch.device, budget: Budget) -> bool:
    """Whether to use torch.compile: where the recipe wants it and it works here; otherwise with one warning.

    `train.compile: auto` wants it if the run is expected to save clearly more time than compiling takes: by its time
    budget, or by its steps and an estimate of their time in eager execution. On Apple's GPU auto never compiles.
    """
    wanted = recipe.train.compile
    if wanted is False or (wanted == "auto" and not _pays(recipe, device, budget)):
        return False
    return _works(device.type)


def compile_seconds(recipe: Recipe, device: torch.device) -> float:
    """Time until the first compiled step. The code of a shape that was trained compiled before is kept."""
    if read_speed(setup_name(recipe, compiled=True), recipe.train.micro_batch) is not None:
        return CACHED_SECONDS
    return CPU_SECONDS if device.type == "cpu" else GPU_SECONDS


def compiled_gain(recipe: Recipe, device: torch.device) -> float:
    """Speed of the compiled model relative to the eager one, assumed until a run was timed.

    On two CPU cores a step of a small model took 0.7 of the eager time with RMSNorm, 0.93 with LayerNorm and dropout,
    and at most little less with LayerNorm alone (docs/LOG.md): RMSNorm has many small operators to fuse.
    """
    model = recipe.model
    if device.type != "cpu" or model.norm == "rmsnorm":
        return 1.4
    return 1.08 if model.dropout else 1.04


def compiled(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The compiled method of a kind of nn.Module, called with the module first; if it cannot be compiled, the method
    itself, with one warning.

    All modules with the same shapes and settings share the compiled code. The first call runs forward and backward once
    more beforehand, because torch compiles the backward graph only when it is needed. That leaves random numbers and
    gradients as they were.
    """
    torch.compiler.reset()  # the code of the last model, which would count against the limit of its variants
    chosen = None

    def call(module: nn.Module, *arguments: Any) -> Tensor:
        nonlocal chosen
        if chosen is None:
            on_cpu = next(module.parameters()).device.type == "cpu"
            # without its fallback, random numbers would be drawn again for every row that uses them
            options: dict[str, Any] | None = {"fallback_random": True} if on_cpu else None
            fast = torch.compile(method, fullgraph=True, dynamic=False, options=options)
            failure = _failure(fast, module, arguments)
            if failure is not None:
                _warn(failure)
            chosen = fast if failure is None else method
        return chosen(module, *arguments)

    return call


def _failure(function: Callable[..., Tensor], module: nn.Module, arguments: tuple[Any, ...]) -> str | None:
    """Why the function cannot be compiled and run with these arguments, forward and backward; None if it can.

    A gradient that is not finite where the output is counts as such a reason: torch's generated code has had faults.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    device, arguments = parameters[0].device, _detached(arguments)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            output = function(module, *arguments)
            if output.requires_grad:
                with torch.autocast(device.type, enabled=False):
                    small = torch.full_like(output, 2**-10)
                    gradients = torch.autograd.grad(output, parameters, small, allow_unused=True)
                if output.isfinite().all() and not all(each.isfinite().all() for each in gradients if each is not None):
                    return "torch.compile makes a gradient that is not finite"
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # torch raises many kinds; what is no fault of the compiler, eager execution repeats
            return explain_failure(error)
    return None


def _detached(value: Any) -> Any:
    """The value with its tensors, also those in tuples, cut from what computed them, which a trial must not use up."""
    if isinstance(value, Tensor):
        return value.detach().requires_grad_(value.requires_grad)
    if isinstance(value, tuple):
        parts = map(_detached, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


@cache
def _works(device_type: str) -> bool:
    failure = compile_failure(device_type)
    if failure is not None:
        _warn(failure)
    return failure is None


def _warn(failure: str) -> None:
    process = ""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        process = f"process {torch.distributed.get_rank()} of {torch.distributed.get_world_size()} is "
    logger.warning("%straining without torch.compile: %s", process, failure)


def _pays(recipe: Recipe, device: torch.device, budget: Budget) -> bool:
    """Whether compiling is expected to save more time than it takes."""
    if device.type not in ("cpu", "cuda"):
        return False
    saved = 1 - 1 / compiled_gain(recipe, device)  # of each eager second
    enough = PAYS_AFTER * compile_seconds(recipe, device) / saved
    if budget.max_seconds is not None and budget.max_seconds < enough:
        return False
    return budget.max_steps is None or budget.max_steps * _eager_step_seconds(recipe, device) >= enough


def _eager_step_seconds(recipe: Recipe, device: torch.device) -> float:
    """Estimated time of an optimizer step without torch.compile; on a GPU rather too short."""
    train = recipe.train
    tokens = train.micro_batch * train.accumulation * recipe.sequence_length
    known = read_speed(setup_name(recipe, compiled=False), train.micro_batch)
    if known is not None:
        return tokens / known.tokens_per_second
    flops = training_flops(recipe.model, recipe.sequence_length) * tokens
    peak = known_peak(device, choose_precision(train.precision, device))
    if device.type == "cpu":
        return flops / max(CPU_FLOPS, CPU_UTILIZATION * peak)
    processes = train.devices * train.nodes
    launches = KERNELS * recipe.model.n_layers * math.ceil(train.accumulation / processes)
    return max(flops / processes / (GPU_UTILIZATION * peak), launches * LAUNCH_SECONDS)
