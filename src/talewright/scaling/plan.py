"""Which size of the story ladder gives the lowest loss in a given training time, on this machine and this text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from talewright.config import Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.config.data import NEW_SOURCE
from talewright.data.corpus import Corpus
from talewright.data.preparation.request import is_prepared
from talewright.errors import UserError
from talewright.files import shell_word
from talewright.machine.speeds import Speed
from talewright.model.cost import count_parameters, training_flops
from talewright.scaling.law import (
    FITTED_VOCABULARY,
    Law,
    best_batch,
    best_learning_rate,
    effective_size,
    fitted_law,
    fitted_range,
)
from talewright.scaling.text_size import STORY_BYTES, TextSize, text_size

LADDERS = {"story": ("300k", "1m", "3m", "5m", "15m", "40m", "125m"), "storyx": ("300k", "1m", "3m", "5m", "15m")}
"""Sizes of each ladder. storyx learns more, and cannot be exported to the classes of other programs."""
BYTES_PER_TOKEN = {512: 2.39, 1024: 3.15, 2048: 3.66, 4096: 3.97, 8192: 4.11, 16384: 4.13}
"""Of TinyStories, by vocabulary size. End-of-text tokens count as tokens without bytes."""
VOCABULARIES = ((150e3, 1024), (2e6, 2048))
"""Largest vocabulary for texts of up to that many bytes: tokens that are rare in training are not learned. On 44 kB,
1,024 tokens ended at 2.19 bits per byte and 512 at 2.28; on 0.29 MB, 2,048 at 1.48 and 1,024 at 1.53 (0.3M parameters,
4 or 5 passes). Nothing larger was tried on texts so short."""
EPOCHS, MOST_EPOCHS = 4.0, 16.0
"""Passes over a text with a byte for each parameter, and over any text, at most. More do not lower the validation loss:
of 372 TinyStories (1 byte a parameter) 4 passes ended at 1.50 bits per byte, and the best of 8 was 1.52; of 2,000 (2
bytes a parameter) the best of 8 came after 6. Muennighoff et al. 2023 (arXiv:2305.16264): repeating stops to pay near
16.
"""
PARAMETERS_PER_BYTE = 2.0
"""Of the training text, at most. On 372 TinyStories (0.29 MB), 0.7M parameters overfitted in 5 passes (at best 1.51
bits per byte) and 0.3M did not (1.53); on 50, 0.6M were no better than 0.3M."""
STORYX = 0.94
"""Bits per byte of a run of `storyx`, relative to what the law, fitted to `story`, says of its parameters (without
bigrams) and tokens: 0.92, 0.94, 0.95 and 0.96 for 2, 5, 10 and 30 minutes (docs/RESULTS.md)."""
WARMUP_FRACTION = 0.03
"""Fraction of the steps over which the learning rate rises."""
EMBEDDING = 6
"""Learning rate of the embedding, as a multiple of the matrices'."""
EVALUATIONS, EVALUATION_FRACTION = 20, 0.03
"""Number of evaluations in a run, and the time that they may take, as a fraction of the training time."""
FORWARD_GAIN = 3.0
"""Speed of scoring relative to training, which has a backward pass besides."""
FEWEST_STORIES, MOST_STORIES = 20, 500
"""Limits of the number of validation stories that an evaluation scores."""
PATIENCE = 5
"""Evaluations without a lower loss before a run stops: a quarter of it."""


class Goal(NamedTuple):
    """What is planned for."""

    seconds: float
    text: TextSize
    overrides: Mapping[str, str]
    """The user's settings, which win over the plan's."""
    ladder: str = "story"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One size, trained for at most the given time."""

    size: str
    recipe_name: str
    parameters: int
    vocab_size: int
    tokens_per_second: float
    tokens: int
    epochs: float
    seconds: float
    """Time that it takes, at most the time given: a short text is repeated some times only (`EPOCHS`)."""
    flops: float
    steps: int
    bits_per_byte: float
    """By the law, at the end, if the text is like TinyStories; for other text only its order among sizes has a meaning.
    """
    expected: str
    """How far to trust it: fitted, extrapolated, unknown."""
    settings: dict[str, str]
    """The chosen settings."""

    def recipe(self, overrides: Mapping[str, str]) -> Recipe:
        """The resolved recipe. Overrides win."""
        return load_recipe(self.recipe_name, {**self.settings, **overrides})


def choose(minutes: float, overrides: Mapping[str, str], ladder: str = "story") -> tuple[Plan, Goal]:
    """The best plan for that time, these stories (`data.source`; by default the bundled ones) and this machine.

    Raises UserError if the time, a setting or the stories are invalid.
    """
    goal = goal_of(minutes, overrides, ladder)
    return best_plan(plan_sizes(goal)), goal


def goal_of(minutes: float, overrides: Mapping[str, str], ladder: str = "story") -> Goal:
    """The goal of a command. Raises UserError if the time, the ladder, a setting or the stories are invalid."""
    if ladder not in LADDERS:
        raise UserError(f"no ladder {ladder}; there are {' and '.join(LADDERS)}")
    if not 0 < minutes < math.inf:
        raise UserError(f"--minutes is {minutes:g}; it must be above 0, and finite")
    given = {name.replace("-", "_"): value for name, value in overrides.items()}
    if "train.max_minutes" in given:
        raise UserError("give --minutes, or --recipe with --max-minutes, not both")
    given = {"data.source": "bundled", **given}
    recipe = load_recipe("story-1m", given)
    if recipe.train.devices * recipe.train.nodes > 1:
        raise UserError(
            "--minutes chooses for one process. Give `talewright plan` the same options without --train.devices and "
            "--train.nodes, and add them to the explicit command that it prints"
        )
    return Goal(60 * minutes, text_size(recipe.data), {**_corpus_tokenizer(recipe), **given}, ladder)


def plan_sizes(
    goal: Goal,
    sizes: Sequence[str] | None = None,
    speed: Callable[[Recipe, float | None], Speed] | None = None,
    law: Law | None = None,
) -> list[Plan]:
    """Plans from the ladder's smallest size, or of `sizes`, up to the first that is expected to be worse than the one
    before it.

    `speed` gives a recipe's training speed from its FLOP/s at a smaller size; by default it is measured here, or known.
    """
    from talewright.train.speed import training_speed

    plans: list[Plan] = []
    flops_per_second = None
    for size in sizes or LADDERS[goal.ladder]:
        recipe = _with_budget(ladder_recipe(size, goal), goal)
        if plans and count_parameters(recipe.model).dense > PARAMETERS_PER_BYTE * goal.text.bytes:
            break
        measured = (speed or training_speed)(recipe, flops_per_second)
        flops_per_second = measured.tokens_per_second * training_flops(recipe.model, recipe.sequence_length)
        plans.append(plan_size(size, goal, measured, law))
        if len(plans) > 1 and plans[-1].bits_per_byte > plans[-2].bits_per_byte:
            break
    return plans


def best_plan(plans: Sequence[Plan]) -> Plan:
    return min(plans, key=lambda plan: plan.bits_per_byte)


def ladder_recipe(size: str, goal: Goal) -> Recipe:
    """The ladder's recipe of that size, with the goal's settings and a vocabulary that the text is enough for. Raises
    UserError if there is no such size.
    """
    if size not in LADDERS[goal.ladder]:
        raise UserError(f"no size {size}; there are {', '.join(LADDERS[goal.ladder])}")
    values = _packaged(f"{goal.ladder}-{size}")
    return recipe_from_dict(values, values["name"], {**_vocabulary(values["name"], goal), **goal.overrides})


def plan_size(size: str, goal: Goal, speed: Speed, law: Law | None = None) -> Plan:
    """Train this size for that time at that speed: settings from the rules, expected result from the law."""
    recipe = ladder_recipe(size, goal)
    length, parameters = recipe.sequence_length, count_parameters(recipe.model).dense
    seconds = max(1.0, goal.seconds - speed.compile_seconds)
    affordable, most_epochs = seconds * speed.tokens_per_second, _most_epochs(recipe, goal)
    enough = most_epochs * _text_tokens(recipe, goal)
    tokens = max(1, int(min(affordable, enough)))
    flops = tokens * training_flops(recipe.model, length)
    micro_batch, accumulation = _batch(recipe, flops)
    steps = max(1, tokens // (micro_batch * accumulation * length))
    matrix_rate = float(f"{best_learning_rate(flops):.2g}")
    settings = {
        **_vocabulary(recipe.name, goal),
        "train.max_minutes": f"{goal.seconds / 60:g}",
        "train.learning_rate": f"{EMBEDDING * matrix_rate:.2g}",
        "optimizer.matrix_learning_rate": f"{matrix_rate:g}",
        "train.micro_batch": f"{micro_batch}",
        "train.accumulation": f"{accumulation}",
        "schedule.warmup_steps": f"{max(1, round(WARMUP_FRACTION * steps))}",
        "train.evaluate_stories": f"{_evaluated_stories(recipe, goal.seconds, speed)}",
        "train.patience": f"{PATIENCE}",
    }
    if enough < math.inf:
        settings["train.max_epochs"] = f"{most_epochs:.2g}"
    epochs = tokens / _text_tokens(recipe, goal)
    return Plan(
        size=size,
        recipe_name=recipe.name,
        parameters=parameters,
        vocab_size=recipe.model.vocab_size,
        tokens_per_second=speed.tokens_per_second,
        tokens=tokens,
        epochs=epochs,
        seconds=tokens / affordable * seconds + speed.compile_seconds,
        flops=flops,
        steps=steps,
        bits_per_byte=_bits_per_byte(recipe, goal, tokens, epochs, law or fitted_law()),
        expected=_expected(parameters, recipe.model.vocab_size, goal),
        settings=settings,
    )


def _batch(recipe: Recipe, flops: float) -> tuple[int, int]:
    """Windows of a micro-batch, and micro-batches of a step, for a training of that many FLOPs."""
    windows = max(1, round(best_batch(flops) / recipe.sequence_length))
    micro_batch = min(windows, recipe.train.micro_batch)
    return micro_batch, max(1, round(windows / micro_batch))


def _bits_per_byte(recipe: Recipe, goal: Goal, tokens: int, epochs: float, law: Law) -> float:
    """What the law expects of a training on that many tokens."""
    story_bytes = effective_size(min(goal.text.bytes, tokens * _bytes_per_token(recipe)), epochs)
    expected = law(count_parameters(recipe.model).dense, story_bytes, recipe.model.vocab_size)
    return (STORYX if goal.ladder == "storyx" else 1) * expected


def summary(plan: Plan, goal: Goal) -> str:
    """What was chosen and what to expect, in one line."""
    minutes = goal.seconds / 60
    time = f"in {minutes:g} min"
    if plan.seconds < 0.9 * goal.seconds:
        time = f"in about {_rounded(plan.seconds / 60)} of the {minutes:g} min, enough for this text"
    epochs = f" ({plan.epochs:.2g} epoch{'' if f'{plan.epochs:.2g}' == '1' else 's'})" if plan.epochs else ""
    tokens = f"{plan.tokens / 1e6:.2g}M tokens{epochs}"
    return f"{plan.recipe_name}: {plan.parameters / 1e6:.2g}M parameters, {tokens} {time}; {expectation(plan)}"


def expectation(plan: Plan) -> str:
    """What to expect of a plan, and how sure that is."""
    if plan.expected == "unknown":
        return "expected bits/byte: known for TinyStories only"
    return f"expected bits/byte {plan.bits_per_byte:.2f}{', extrapolated' if plan.expected == 'extrapolated' else ''}"


def dial_command(goal: Goal) -> str:
    """The command that plans and trains."""
    ladder = "" if goal.ladder == "story" else f" --ladder {goal.ladder}"
    return _command(f"--minutes {goal.seconds / 60:g}{ladder}", goal.overrides)


def explicit_command(plan: Plan, goal: Goal) -> str:
    """The command that trains the plan as it is, to change its settings."""
    settings = {**plan.settings, **goal.overrides}
    minutes = settings.pop("train.max_minutes")
    return _command(f"--recipe {plan.recipe_name} --max-minutes {minutes}", settings)


def _command(budget: str, settings: Mapping[str, str]) -> str:
    short = {"data.source": "--data", "data.valid": "--valid", "data.test": "--test", "seed": "--seed"}
    words = ["talewright train", budget]
    for name, value in settings.items():
        if NEW_SOURCE.get(name) != value:  # --data adds these itself
            text = json.loads(value) if value.startswith('"') else value
            words.append(f"{short.get(name, '--' + name.replace('_', '-'))} {shell_word(text)}")
    return " ".join(words)


def _rounded(minutes: float) -> str:
    return f"{minutes:.0f}" if minutes >= 2 else f"{minutes:.1g}"


@cache
def _packaged(name: str) -> dict[str, Any]:
    return recipe_to_dict(load_recipe(name))


def _vocabulary(name: str, goal: Goal) -> dict[str, str]:
    """The setting of a smaller vocabulary than the recipe's, if the text is short."""
    own = _packaged(name)["model"]["vocab_size"]
    size = next((size for most, size in VOCABULARIES if goal.text.bytes <= most), own)
    other_tokenizer = goal.overrides.get("tokenizer.kind", "bpe") != "bpe"
    return {} if size >= own or other_tokenizer else {"model.vocab_size": f"{size}"}


def _corpus_tokenizer(recipe: Recipe) -> dict[str, str]:
    """The tokenizer's settings, if the stories are prepared already."""
    if not is_prepared(recipe.data.source):
        return {}
    corpus = Corpus.open(Path(recipe.data.source))
    kind = corpus.manifest["request"]["tokenizer"]["kind"]
    return {"tokenizer.kind": kind, "model.vocab_size": f"{corpus.tokenizer.vocab_size}"}


def _with_budget(recipe: Recipe, goal: Goal) -> Recipe:
    """The recipe with that budget, which decides whether to compile, and with steps of one micro-batch."""
    enough = _most_epochs(recipe, goal) * _text_tokens(recipe, goal)
    train = dataclasses.replace(
        recipe.train,
        accumulation=1,
        max_tokens=max(1, int(enough)) if enough < math.inf else None,
        max_minutes=goal.seconds / 60,
    )
    return dataclasses.replace(recipe, train=train)


def _bytes_per_token(recipe: Recipe) -> float:
    """By the nearest vocabulary size."""
    size = recipe.model.vocab_size
    return BYTES_PER_TOKEN[min(BYTES_PER_TOKEN, key=lambda known: abs(math.log(known / size)))]


def _text_tokens(recipe: Recipe, goal: Goal) -> float:
    return goal.text.bytes / _bytes_per_token(recipe)


def _most_epochs(recipe: Recipe, goal: Goal) -> float:
    """Passes that the text is good for: more where it has more bytes than the model has parameters to learn it by
    heart with.
    """
    bytes_per_parameter = goal.text.bytes / count_parameters(recipe.model).dense
    return min(MOST_EPOCHS, EPOCHS * math.sqrt(max(1.0, bytes_per_parameter)))


def _evaluated_stories(recipe: Recipe, seconds: float, speed: Speed) -> int:
    """As many validation stories as the evaluations have time for."""
    tokens = EVALUATION_FRACTION * seconds * FORWARD_GAIN * speed.tokens_per_second / EVALUATIONS
    return max(FEWEST_STORIES, min(MOST_STORIES, int(tokens * _bytes_per_token(recipe) / STORY_BYTES)))


def _expected(parameters: int, vocab_size: int, goal: Goal) -> str:
    if not goal.text.is_tinystories:
        return "unknown"
    least, most = fitted_range()
    return "fitted" if least <= parameters <= most and vocab_size == FITTED_VOCABULARY else "extrapolated"
