"""How fast this machine trains a recipe: from the cache, from a short measurement, or from a finished run."""

from __future__ import annotations

import dataclasses
import statistics
import time
from pathlib import Path
from typing import cast

from talewright.config import Recipe
from talewright.data import Batches
from talewright.machine import default_device, keep_heap
from talewright.machine.speeds import Speed, read_speed, record_speed
from talewright.model.cost import training_flops
from talewright.run.log import read_log
from talewright.train.benchmark import RandomBatches
from talewright.train.compilation import CPU_FLOPS, compile_seconds, compiled_gain, should_compile
from talewright.train.distributed import launch
from talewright.train.schedule import Budget
from talewright.train.setup_name import recipe_device, setup_name
from talewright.train.trainer import Trainer

STEP_SECONDS = 0.3
"""A measured step has as many windows as fit into about this time on two cores, at most the recipe's micro-batch."""
MIN_STEPS = 20
"""A shorter run does not tell a speed."""
LEAST_GAIN = 0.8
"""FLOP/s of a model relative to a smaller one's, at least: from 1.1M to 2.7M parameters they rise by a third. Less was
measured beside other programs, and would be compared with what was measured without them."""
MIN_SHARE = 0.8
"""The main thread computes for this fraction of the time, unless other programs have the processor."""


def training_speed(recipe: Recipe, flops_per_second: float | None = None) -> Speed:
    """The speed of a run of this recipe on this machine: measured by earlier runs, or now, in about 4 seconds.

    Only eager training is measured now; for a compiled model its gain is assumed. With `flops_per_second`, of a smaller
    model, a model of which a step would take more than seconds is not measured either.
    """
    device = recipe_device(recipe)
    compiled = should_compile(recipe, device, Budget.of(recipe.train, 2**40, recipe.sequence_length))
    micro_batch = recipe.train.micro_batch
    known = read_speed(setup_name(recipe, compiled), micro_batch)
    if known is not None:
        return known._replace(compile_seconds=compile_seconds(recipe, device)) if compiled else known
    eager = read_speed(setup_name(recipe, False), micro_batch) if compiled else None
    if eager is None:
        per_window = training_flops(recipe.model, recipe.sequence_length) * recipe.sequence_length
        if flops_per_second is not None and per_window / flops_per_second > 1:
            eager = Speed(flops_per_second * recipe.sequence_length / per_window)
        else:
            eager = _measured(recipe, per_window)
    rate = eager.tokens_per_second * (compiled_gain(recipe, device) if compiled else 1)
    if flops_per_second is not None:
        rate = max(rate, LEAST_GAIN * flops_per_second / training_flops(recipe.model, recipe.sequence_length))
    return Speed(rate, compile_seconds(recipe, device) if compiled else 0.0)


def usual_speed(recipe: Recipe, compiled: bool) -> Speed | None:
    """The speed of earlier runs on this machine; on a CPU without any, an estimate; None if it is not known."""
    known = read_speed(setup_name(recipe, compiled), recipe.train.micro_batch)
    if known is None and recipe_device(recipe).type == "cpu":
        return Speed(CPU_FLOPS / training_flops(recipe.model, recipe.sequence_length))
    return known


def record_run(run: Path, recipe: Recipe, share: float) -> None:
    """Keep the speed of a finished run: the median over its steps. `share` is that of `ComputeShare`."""
    events = list(read_log(run / "log.jsonl"))
    compiled = any(event.get("compiled") is True for event in events if event.get("event") == "run")
    steps = [event for event in events if event.get("event") == "step" and event.get("tokens_per_second")]
    if len(steps) < MIN_STEPS:
        return
    rate = statistics.median(step["tokens_per_second"] for step in steps[2:])
    first = steps[0]["tokens"] / steps[0]["tokens_per_second"] if compiled else 0.0
    record_speed(setup_name(recipe, compiled), recipe.train.micro_batch, Speed(rate, first), share < MIN_SHARE)


class ComputeShare:
    """The fraction of the time since it was made in which this thread computed; 1 on a GPU machine."""

    def __init__(self) -> None:
        self.wall, self.used = time.perf_counter(), time.thread_time()

    def __call__(self) -> float:
        if default_device().type != "cpu":
            return 1.0
        return (time.thread_time() - self.used) / max(1e-9, time.perf_counter() - self.wall)


def _measured(recipe: Recipe, window_flops: float, seconds: float = 2.5) -> Speed:
    """Time eager steps of random tokens, and keep the median: interruptions will slow the run down too."""
    keep_heap()
    micro_batch = recipe.train.micro_batch
    if recipe_device(recipe).type == "cpu":
        micro_batch = max(1, min(micro_batch, int(STEP_SECONDS * CPU_FLOPS / window_flops)))
    train = dataclasses.replace(recipe.train, micro_batch=micro_batch, accumulation=1, compile=False)
    eager = dataclasses.replace(recipe, train=train)
    trainer = Trainer(eager, launch(eager), cast(Batches, RandomBatches(eager)))
    trainer.update()
    trainer.finish()
    share, rates, end = ComputeShare(), [], time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        rates += [result.figures["tokens_per_second"] for result in trainer.update()]
    speed = Speed(statistics.median(rates))
    record_speed(setup_name(recipe, False), micro_batch, speed, share() < MIN_SHARE)
    return speed
