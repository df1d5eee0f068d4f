"""Which size of the story ladder gives the lowest loss in a given training time on this machine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from talewright.config import Recipe, load_recipe
from talewright.errors import UserError
from talewright.model.cost import count_parameters, training_flops
from talewright.scaling.law import Law, best_batch, best_learning_rate, fitted_law

SIZES = ("1m", "5m", "15m", "40m", "125m")
BYTES_PER_TOKEN = {4096: 3.75, 8192: 4.0, 16384: 4.1}
"""Of TinyStories, by vocabulary size. End-of-text tokens count as tokens without bytes."""
WARMUP_FRACTION = 0.03
"""Fraction of the steps over which the learning rate rises."""
EMBEDDING = 6
"""Learning rate of the embedding, as a multiple of the matrices'."""


class Speed(NamedTuple):
    """How fast a machine trains."""

    tokens_per_second: float
    compile_seconds: float = 0.0
    """Seconds before the first step."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One size, trained for the given time."""

    size: str
    recipe: str
    parameters: int
    tokens_per_second: float
    tokens: int
    flops: float
    learning_rate: float
    """Peak learning rate of the embedding and the vectors (AdamW)."""
    matrix_learning_rate: float
    """Peak learning rate of the matrices (Muon)."""
    micro_batch: int
    accumulation: int
    warmup_steps: int
    steps: int
    bits_per_byte: float
    """Expected at the end, by the law."""
    command: str
    """The command that trains it."""


def story_recipe(size: str) -> Recipe:
    """The ladder's recipe of that size. Raises UserError if there is none."""
    if size not in SIZES:
        raise UserError(f"no size {size}; there are {', '.join(SIZES)}")
    return load_recipe(f"story-{size}")


def plan_size(size: str, seconds: float, speed: Speed, law: Law | None = None) -> Plan:
    """Train this size for that time at that speed: settings from the rules, expected result from the law."""
    recipe = story_recipe(size)
    parameters, length = count_parameters(recipe.model).total, recipe.sequence_length
    tokens = max(1, int((seconds - speed.compile_seconds) * speed.tokens_per_second))
    flops = tokens * training_flops(recipe.model, length)
    windows = max(1, round(best_batch(flops) / length))
    micro_batch = min(windows, recipe.train.micro_batch)
    accumulation = max(1, round(windows / micro_batch))
    steps = max(1, tokens // (micro_batch * accumulation * length))
    matrix_rate = float(f"{best_learning_rate(flops):.2g}")
    rate = float(f"{EMBEDDING * matrix_rate:.2g}")
    warmup = max(1, round(WARMUP_FRACTION * steps))
    return Plan(
        size=size,
        recipe=recipe.name,
        parameters=parameters,
        tokens_per_second=speed.tokens_per_second,
        tokens=tokens,
        flops=flops,
        learning_rate=rate,
        matrix_learning_rate=matrix_rate,
        micro_batch=micro_batch,
        accumulation=accumulation,
        warmup_steps=warmup,
        steps=steps,
        bits_per_byte=(law or fitted_law())(parameters, tokens * BYTES_PER_TOKEN[recipe.model.vocab_size]),
        command=(
            f"talewright train --recipe {recipe.name} --max-minutes {seconds / 60:g} --train.learning-rate {rate:g} "
            f"--optimizer.matrix-learning-rate {matrix_rate:g} "
            f"--train.micro-batch {micro_batch} --train.accumulation {accumulation} --schedule.warmup-steps {warmup}"
        ),
    )


def plan_sizes(
    minutes: float, sizes: Sequence[str] = SIZES, speed: Callable[[Recipe], Speed] | None = None, law: Law | None = None
) -> list[Plan]:
    """Plans from the smallest size up to the first that is expected to be worse than the one before it.

    The best has the lowest bits per byte. `speed` gives a recipe's training speed; by default it is measured here.
    Raises UserError if the time or a size is invalid.
    """
    if not 0 < minutes < math.inf:
        raise UserError(f"--minutes is {minutes:g}; it must be above 0")
    speed, plans = speed or measure_speed, []
    for size in sizes:
        plans.append(plan_size(size, 60 * minutes, speed(_timed(story_recipe(size), minutes)), law))
        if len(plans) > 1 and plans[-1].bits_per_byte > plans[-2].bits_per_byte:
            break
    return plans


def _timed(recipe: Recipe, minutes: float) -> Recipe:
    """The recipe with that budget, which decides whether to compile, and with steps of one micro-batch."""
    train = dataclasses.replace(recipe.train, accumulation=1, max_tokens=None, max_minutes=minutes)
    return dataclasses.replace(recipe, train=train)


def measure_speed(recipe: Recipe, seconds: float = 3.0) -> Speed:
    """How fast this machine trains the recipe, measured for that long after compilation."""
    from talewright.train.benchmark import bench_training

    measured = bench_training(recipe, seconds)
    return Speed(measured["tokens_per_second"], measured["warm_up_seconds"] if measured["compiled"] else 0.0)
