"""The parts of an evaluation, by the names that `--only` takes. Each is a function of a Subject, and gives plain values
(numbers, texts, lists and dicts of them) that go into scores.json as they are. A part that cannot be had raises
AbsentError, and its reason stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from talewright.errors import UserError
from talewright.evaluate.choices import Question, TooShortError, figures, log_probabilities, scored_by
from talewright.evaluate.cloze import cloze_questions
from talewright.evaluate.likelihood import score_stories
from talewright.evaluate.subject import AbsentError, Subject
from talewright.evaluate.understanding import figures_of_pairs, questions
from talewright.model.gpt import GPT

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


def _understanding(subject: Subject) -> dict[str, Any]:
    return _answered(subject, questions(), figures_of_pairs)


def _cloze(subject: Subject) -> dict[str, Any]:
    asked = cloze_questions(subject.texts)
    if not asked:
        raise AbsentError("the held-out stories give no balanced gaps; a few hundred stories do")
    return _answered(subject, asked, lambda scores: figures(asked, scores))


def _answered(subject: Subject, asked: Sequence[Question], figures_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The figures of the questions that the model answers, and of the untrained one."""

    def of(model: GPT) -> dict[str, Any]:
        length = model.config.context_length
        return figures_of(log_probabilities(scored_by(model), subject.tokenizer, asked, length))

    try:
        return {**of(subject.model), "untrained": of(subject.untrained())}
    except TooShortError as error:
        raise AbsentError(str(error)) from None


PARTS: dict[str, Part] = {"likelihood": _likelihood, "understanding": _understanding, "cloze": _cloze}
