"""A run's stories before a judge: the first parts of held-out stories, the run's continuations, and their grades."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.evaluate.judge.answers import AGES, ASPECTS
from talewright.evaluate.judge.endpoint import Endpoint
from talewright.evaluate.judge.grades import (
    Exercise,
    GradeFile,
    estimate,
    grade_all,
    summarize_grades,
)
from talewright.evaluate.language import language_of
from talewright.files import write_json
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.machine import choose_device, gpu_memory_errors
from talewright.run import RunFolder

logger = logging.getLogger(__name__)

GRADES, RESULT = "judge.jsonl", "judge.json"
"""In the run folder: each grade, and the result."""
MIN_WORDS = 60
"""Words of the shortest held-out story that is used."""
MAX_PROMPT_WORDS = 60


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """What is graded, and how often."""

    stories: int = 50
    gradings: int = 1
    """Times that each story is graded; two show how far the judge agrees with itself."""
    human: bool = False
    """Grade the held-out stories themselves instead of the run's continuations."""
    prompts: tuple[str, ...] = ()
    """Those of held-out stories if there are none."""
    data: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How `data` is read: settings of the section data, such as {"format": "lines"}."""
    checkpoint: str = "best"
    device: str | None = None
    """The device to compute on, as `machine.choose_device` reads it."""
    seed: int = 0
    concurrency: int = 4
    max_requests: int = 1000
    prices: tuple[float, float] | None = None
    """Of a million tokens read, and written."""
    estimate_only: bool = False


def judge_run(folder: Path, endpoint: Endpoint, options: JudgeOptions) -> dict[str, Any]:
    """Have stories of a run graded, and write judge.json; with `estimate_only`, return the estimate.

    Raises UserError if it would take more requests than allowed, or if nothing was graded.
    """
    run = RunFolder(folder)
    exercises, folder = _exercises(run, options), run.results
    if run.included:
        with suppress(OSError):  # the first grade that cannot be written is an error
            folder.mkdir(exist_ok=True)
    file = GradeFile(folder / GRADES)
    expected = _with_cost(estimate(exercises, options.gradings, endpoint, file), options.prices)
    _log_estimate(expected)
    if options.estimate_only:
        return {"estimate": expected}
    if expected["requests"] > options.max_requests:
        raise UserError(
            f"this takes {expected['requests']:,} requests, and --max-requests is {options.max_requests:,}: ask for "
            "fewer --stories, or allow more"
        )
    grading = grade_all(exercises, options.gradings, endpoint, file, options.concurrency)
    if grading.reasons and not any(grade for row in grading.grades for grade in row):
        [(reason, count)] = grading.reasons.most_common(1)
        raise UserError(f"{endpoint.model} at {endpoint.url} graded nothing; {count} times: {reason}")
    used = {"tokens_in": grading.tokens_in, "tokens_out": grading.tokens_out}
    result = {
        "judge": {"url": endpoint.url, "model": endpoint.model},
        "author": "human" if options.human else "run",
        **summarize_grades(grading),
        "used": _with_cost(used, options.prices),
        "exercises": [
            asdict(exercise) | {"grades": row} for exercise, row in zip(exercises, grading.grades, strict=True)
        ],
    }
    write_json(folder / RESULT, result)
    return result


def judge_table(result: dict[str, Any]) -> str:
    """A result of `judge_run` as lines of text."""
    if "estimate" in result:
        return "\n".join(f"{name.replace('_', ' '):12}{value:>12,}" for name, value in result["estimate"].items())
    agreement = result.get("agreement")
    lines = [f"{'':13}{'mean':>6}{'± s.e.':>8}" + (f"{'agreement':>12}" if agreement else "")]
    for aspect in ASPECTS:
        mean, error = result[aspect]["mean"], result[aspect]["standard_error"]
        line = f"{aspect:13}{_two_digits(mean):>6}{_two_digits(error):>8}"
        lines.append(line + (f"{_two_digits(agreement[aspect]):>12}" if agreement else ""))
    ages = ", ".join(f"{AGES[letter]}: {count}" for letter, count in result["ages"].items() if count)
    return "\n".join(
        [
            *lines,
            f"ages         {ages or 'none'}",
            f"{result['graded']:,} of {result['stories']:,} stories graded by {result['judge']['model']}",
            *(f"{count} times: {reason}" for reason, count in result["reasons"].items()),
        ]
    )


def _exercises(run: RunFolder, options: JudgeOptions) -> list[Exercise]:
    """Prompts and continuations; the same for the same run, stories and seed."""
    device = choose_device(options.device)
    cut = [] if options.prompts and not options.human else _cut_stories(run, options)
    if options.human:
        return [Exercise(prompt, rest) for prompt, rest in cut]
    prompts = (list(options.prompts) or [prompt for prompt, _ in cut])[: options.stories]
    _check_english(prompts)
    model, _ = run.load_model(options.checkpoint, device)
    with gpu_memory_errors(device):
        samples = Engine(model, run.tokenizer).generate(prompts, Sampling(seed=options.seed))
    return [Exercise(sample.prompt, sample.continuation) for sample in samples]


def _cut_stories(run: RunFolder, options: JudgeOptions) -> list[tuple[str, str]]:
    """Held-out stories, each cut in two."""
    stories, _ = run.stories(options.data, options.reading)
    texts = set(run.tokenizer.decode_batch(stories))
    shuffled = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    _check_english(shuffled)
    long = [text for text in shuffled if len(text.split()) >= MIN_WORDS]
    if not long:
        raise UserError(f"no held-out story has {MIN_WORDS} words, enough to be cut; give prompts with --prompts FILE")
    return [cut_story(text) for text in long[: options.stories]]


def _check_english(texts: list[str]) -> None:
    """Raise UserError if these are not in English, which the judge is asked to grade."""
    if not language_of(texts).english:
        start = " ".join(texts[0].split())[:40]
        raise UserError(f"the judge grades English stories, and these are not in English: {start!r} ...")


def cut_story(text: str) -> tuple[str, str]:
    """The first part of a story, about a third of it, and the rest; cut between two words of a sentence."""
    words = text.split(" ")
    count = min(MAX_PROMPT_WORDS, len(words) // 3)
    while count > 1 and (words[count - 1][-1:] in '.!?"”' or "\n" in words[count - 1]):
        count -= 1
    prompt = " ".join(words[:count])
    return prompt, text[len(prompt) :]


def _log_estimate(expected: dict[str, Any]) -> None:
    cost = f"about {expected['cost']:.2f} at your prices" if "cost" in expected else "--price-in and --price-out add it"
    logger.info(
        "%s requests, about %s tokens to read and %s to write; cost: %s",
        *(f"{expected[name]:,}" for name in ("requests", "tokens_in", "tokens_out")),
        cost,
    )


def _with_cost(tokens: dict[str, int], prices: tuple[float, float] | None) -> dict[str, Any]:
    if prices is None:
        return tokens
    return {**tokens, "cost": (tokens["tokens_in"] * prices[0] + tokens["tokens_out"] * prices[1]) / 1e6}


def _two_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
