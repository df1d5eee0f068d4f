"""The parts of an evaluation, by the names that `--only` takes. Each is a function of a Subject, and gives plain values
(numbers, texts, lists and dicts of them) that go into scores.json as they are. A part that cannot be had raises
AbsentError, and its reason stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from talewright.errors import UserError
from talewright.evaluate.likelihood import score_stories
from talewright.evaluate.subject import AbsentError, Subject

Part = Callable[[Subject], dict[str, Any]]


def chosen_parts(only: str | None) -> list[str]:
    """The names in a list with commas, all of them where there is none. Raises UserError where one is no part."""
    names = list(PARTS) if only is None else [name.strip() for name in only.split(",")]
    for name in names:
        if name not in PARTS:
            raise UserError(f"--only {name}: there is no such part; there are {', '.join(PARTS)}")
    return names


def evaluate_parts(subject: Subject, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The figures of each of these parts, or {"absent": why}."""
    found = {}
    for name in names:
        subject.say(name)
        try:
            found[name] = PARTS[name](subject)
        except AbsentError as error:
            found[name] = {"absent": str(error)}
    return found


def _likelihood(subject: Subject) -> dict[str, Any]:
    held_out, eos_id = subject.held_out, subject.tokenizer.eos_id
    with subject.fast():
        trained, untrained = (
            score_stories(model, held_out.stories, held_out.sizes, eos_id)
            for model in (subject.model, subject.untrained())
        )
    return {**asdict(trained), "untrained": asdict(untrained)}


PARTS: dict[str, Part] = {"likelihood": _likelihood}
