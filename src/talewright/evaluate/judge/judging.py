"""A run's stories before a judge: beginnings from held-out stories, how the run goes on with them, and the grades."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.evaluate.judge.endpoint import Endpoint
from talewright.evaluate.judge.grading import AGES, ASPECTS, Estimate, Exercise, Grades, estimate, grade_all, summary
from talewright.files import write_json
from talewright.generate.engine import Engine
from talewright.generate.sampling import DEFAULT_SAMPLING
from talewright.run import RunFolder

GRADES, RESULT = "judge.jsonl", "judge.json"
"""In the run folder: each grade as it was given, and what they come to."""
SHORTEST = 60
"""Words of a held-out story whose beginning is taken."""
LONGEST_BEGINNING = 60
"""Words of a beginning."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a grading is asked for."""

    stories: int = 50
    gradings: int = 1
    """Times that each story is graded; two show how far the judge agrees with itself."""
    human: bool = False
    """Grade how the held-out stories themselves go on, in place of what the run tells."""
    prompts: tuple[str, ...] = ()
    """Beginnings; those of held-out stories unless given."""
    data: str | None = None
    checkpoint: str = "best"
    seed: int = 0
    concurrency: int = 4
    max_requests: int = 1000
    prices: tuple[float, float] | None = None
    """Of a million tokens read, and written."""
    estimate_only: bool = False


def judge_run(folder: Path, endpoint: Endpoint, wishes: Wishes, say: Say) -> dict[str, Any]:
    """Have stories of a run graded, and write `judge.json`; the estimate alone where no more is wished.

    Raises UserError where the grading would take more requests than it may.
    """
    exercises = _exercises(RunFolder(folder), wishes)
    grades = Grades(folder / GRADES)
    expected = estimate(exercises, wishes.gradings, endpoint, grades)
    say(_estimate_words(expected, wishes))
    if wishes.estimate_only:
        return {"estimate": _with_cost(asdict(expected), wishes.prices)}
    if expected.requests > wishes.max_requests:
        raise UserError(
            f"this takes {expected.requests:,} requests, and --max-requests is {wishes.max_requests:,}: ask for fewer "
            "--stories, or allow more"
        )
    graded = grade_all(exercises, wishes.gradings, endpoint, grades, wishes.concurrency, _progress(say))
    used = {"tokens_in": graded.tokens_in, "tokens_out": graded.tokens_out}
    found = {
        "judge": {"url": endpoint.url, "model": endpoint.model},
        "told_by": "people" if wishes.human else "the run",
        **summary(graded),
        "used": _with_cost(used, wishes.prices),
        "exercises": [
            asdict(exercise) | {"grades": row} for exercise, row in zip(exercises, graded.grades, strict=True)
        ],
    }
    write_json(folder / RESULT, found)
    return found


def judge_page(found: dict[str, Any]) -> str:
    """A grading, or its estimate, as lines of text."""
    if "estimate" in found:
        return "\n".join(f"{name.replace('_', ' '):12}{value:>12,}" for name, value in found["estimate"].items())
    agreement = found.get("agreement")
    lines = [f"{'':13}{'mean':>6}{'± s.e.':>8}" + (f"{'agreement':>12}" if agreement else "")]
    for aspect in ASPECTS:
        mean, error = found[aspect]["mean"], found[aspect]["standard_error"]
        line = f"{aspect:13}{_digits(mean):>6}{_digits(error):>8}"
        lines.append(line + (f"{_digits(agreement[aspect]):>12}" if agreement else ""))
    ages = ", ".join(f"{AGES[letter]}: {count}" for letter, count in found["ages"].items() if count)
    lines += [f"ages         {ages or 'none'}", _graded_words(found)]
    return "\n".join(lines)


def _exercises(run: RunFolder, wishes: Wishes) -> list[Exercise]:
    """Beginnings and how they go on; the same for the same run, stories and seed."""
    cut = [] if wishes.prompts and not wishes.human else _cut(run, wishes)
    if wishes.human:
        return [Exercise(beginning, rest) for beginning, rest in cut]
    beginnings = (list(wishes.prompts) or [beginning for beginning, _ in cut])[: wishes.stories]
    model, _ = run.load_model(wishes.checkpoint)
    told = Engine(model, run.tokenizer).generate(beginnings, replace(DEFAULT_SAMPLING, seed=wishes.seed))
    return [Exercise(story.prompt, story.text[len(story.prompt) :]) for story in told]


def _cut(run: RunFolder, wishes: Wishes) -> list[tuple[str, str]]:
    """Held-out stories, each cut in two within a sentence."""
    stories, _ = run.stories(wishes.data)
    texts = set(run.tokenizer.decode_batch(stories))
    drawn = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    long = [text for text in drawn if len(text.split()) >= SHORTEST]
    if not long:
        raise UserError(f"no held-out story has {SHORTEST} words, to take its beginning; give some with --prompts FILE")
    return [cut_story(text) for text in long[: wishes.stories]]


def cut_story(text: str) -> tuple[str, str]:
    """A story's beginning, about a third of it, and the rest; cut between two words of a sentence."""
    words = text.split(" ")
    count = min(LONGEST_BEGINNING, len(words) // 3)
    while count > 1 and (words[count - 1][-1:] in '.!?"”' or "\n" in words[count - 1]):
        count -= 1
    beginning = " ".join(words[:count])
    return beginning, text[len(beginning) :]


def _progress(say: Say) -> Callable[[int, int], None]:
    def tell(done: int, of: int) -> None:
        if done == of or done % 10 == 0:
            say(f"asked {done:,} of {of:,} times")

    return tell


def _estimate_words(expected: Estimate, wishes: Wishes) -> str:
    words = (
        f"{expected.requests:,} requests, about {expected.tokens_in:,} tokens to read and {expected.tokens_out:,} to "
        "write"
    )
    if wishes.prices is None:
        return f"{words}; with --price-in and --price-out, of a million tokens, this says what they cost"
    return f"{words}: about {expected.cost(*wishes.prices):.2f} at your prices"


def _with_cost(tokens: dict[str, Any], prices: tuple[float, float] | None) -> dict[str, Any]:
    if prices is None:
        return tokens
    cost = Estimate(requests=0, tokens_in=tokens["tokens_in"], tokens_out=tokens["tokens_out"]).cost(*prices)
    return {**tokens, "cost": cost}


def _graded_words(found: dict[str, Any]) -> str:
    words = f"{found['graded']:,} of {found['stories']:,} stories graded by {found['judge']['model']}"
    reasons = (f"{count} times: {reason}" for reason, count in found["reasons"].items())
    return "\n".join([words, *reasons])


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
