"""Which size of the story ladder, and which budget, this machine should train in a given time, and what to expect.

The law of bits per byte, L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv:2203.15556), has N, the
model's parameters, and D, the bytes of stories that it trains on, so that vocabularies may differ. Its constants stand
in `ladder.json`, which `benchmarks/ladder.py` fits to finished runs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from talewright.config import Recipe, load_recipe
from talewright.errors import UserError
from talewright.model.cost import count_parameters, training_flops

SIZES = ("1m", "5m", "15m", "40m", "125m")
BYTES_PER_TOKEN = {4096: 3.75, 8192: 4.0, 16384: 4.1}
"""Of TinyStories in the ladder's vocabularies, ends of text counted as tokens without bytes."""
WARM_UP = 0.03
"""Share of the steps over which the learning rate rises."""
EMBEDDING = 6
"""Learning rate of the embedding, as a multiple of the matrices'."""


@dataclass(frozen=True)
class Law:
    """Bits per byte of a run by its size and its stories."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __call__(self, parameters: float, story_bytes: float) -> float:
        return self.E + self.A / parameters**self.alpha + self.B / story_bytes**self.beta


class Speed(NamedTuple):
    """How fast a machine trains."""

    tokens_per_second: float
    compile_seconds: float = 0.0
    """Seconds before the first step."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One size, trained for the time that there is."""

    size: str
    recipe: str
    parameters: int
    tokens_per_second: float
    tokens: int
    flops: float
    learning_rate: float
    """Peak of the embedding's and the vectors', by AdamW."""
    matrix_learning_rate: float
    """Peak of the matrices', by Muon."""
    micro_batch: int
    accumulation: int
    warmup_steps: int
    steps: int
    bits_per_byte: float
    """Expected, by the law."""
    command: str
    """What trains it."""


def fitted_law() -> Law:
    """The law with the packaged constants."""
    return Law(**_ladder()["law"])


def law_words() -> str:
    """What the packaged law was fitted to, in words."""
    found = _ladder()
    least, most = found["parameters"]
    return f"expected: by a law fitted to {found['runs']} runs of {least:,} to {most:,} parameters; beyond, a guess"


def _ladder() -> dict[str, Any]:
    return json.loads((resources.files("talewright.scaling") / "ladder.json").read_text(encoding="utf-8"))


def best_learning_rate(flops: float) -> float:
    """Peak learning rate of Muon's matrices for a run of so many FLOPs.

    The exponent is DeepSeek's (2024, arXiv:2401.02954); the factor is ours, by trials of 1e13 FLOPs (docs/LOG.md).
    """
    return 0.2 * flops**-0.125


def best_batch(flops: float) -> float:
    """Tokens of an optimiser step for a run of so many FLOPs (likewise; a third of DeepSeek's)."""
    return 0.1 * flops**0.3271


def story_recipe(size: str) -> Recipe:
    """The ladder's recipe of that size. Raises UserError where there is none."""
    if size not in SIZES:
        raise UserError(f"no size {size}; there are {', '.join(SIZES)}")
    return load_recipe(f"story-{size}")


def plan_size(size: str, seconds: float, speed: Speed, law: Law | None = None) -> Plan:
    """What a size would come to in so many seconds at that speed: its settings by the rules, its end by the law."""
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
    warmup = max(1, round(WARM_UP * steps))
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


def plan(
    minutes: float, sizes: Sequence[str] = SIZES, speed: Callable[[Recipe], Speed] | None = None, law: Law | None = None
) -> list[Plan]:
    """The plans of the sizes, from the smallest up to the first that is expected to end worse than the one before it;
    the best has the lowest bits per byte. `speed` says how fast a recipe is trained here: measured unless told.

    Raises UserError at a time that is none, or an unknown size.
    """
    if not 0 < minutes < math.inf:
        raise UserError(f"--minutes is {minutes:g}; it is a time above 0")
    speed, found = speed or measured_speed, []
    for size in sizes:
        found.append(plan_size(size, 60 * minutes, speed(_timed(story_recipe(size), minutes)), law))
        if len(found) > 1 and found[-1].bits_per_byte > found[-2].bits_per_byte:
            break
    return found


def _timed(recipe: Recipe, minutes: float) -> Recipe:
    """The recipe with that budget, by which it is decided whether to compile, and steps of one micro-batch."""
    train = dataclasses.replace(recipe.train, accumulation=1, max_tokens=None, max_minutes=minutes)
    return dataclasses.replace(recipe, train=train)


def measured_speed(recipe: Recipe, seconds: float = 3.0) -> Speed:
    """How fast this machine trains the recipe, measured over some seconds beyond those that compiling takes."""
    from talewright.train.benchmark import bench_training

    found = bench_training(recipe, seconds)
    return Speed(found["tokens_per_second"], found["warm_up_seconds"] if found["compiled"] else 0.0)


def plan_table(plans: Sequence[Plan]) -> str:
    """The plans as text, the best one marked, and its command."""
    best = min(plans, key=lambda each: each.bits_per_byte)
    lines = ["size   parameters   tokens/s       tokens      FLOPs  tokens/parameter  expected bits/byte"]
    for each in plans:
        mark = "  <- this one" if each is best else ""
        lines.append(
            f"{each.size:5}  {each.parameters:>11,}  {each.tokens_per_second:>9,.0f}  {each.tokens:>11,}  "
            f"{each.flops:.2e}  {each.tokens / each.parameters:>16,.1f}  {each.bits_per_byte:>18.3f}{mark}"
        )
    return "\n".join([*lines, law_words(), "", best.command])
