"""The parts of an evaluation, by the names that `--only` takes. Each is a function of a Subject, and gives plain values
(numbers, texts, lists and dicts of them) that go into scores.json as they are. A part that cannot be had raises
AbsentError, and its reason stands in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.evaluate.baselines.counting import compressed, counted_by
from talewright.evaluate.breakdown import by_length, by_position, intervals
from talewright.evaluate.context import AbsentError, Subject
from talewright.evaluate.generation.quality import told_part
from talewright.evaluate.likelihood import TokenScores, check_stories, score_tokens, summed
from talewright.evaluate.memorization import copying_part
from talewright.evaluate.multiple_choice.cloze import cloze_questions
from talewright.evaluate.multiple_choice.scoring import (
    Question,
    Scorer,
    TooShortError,
    figures,
    log_probabilities,
    scored_by,
)
from talewright.evaluate.multiple_choice.understanding import figures_of_pairs, questions

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
    check_stories(held_out.stories, held_out.sizes)
    with subject.fast():
        trained = score_tokens(subject.model, held_out.stories, eos_id)
        subject.say("likelihood of the untrained model")
        untrained = score_tokens(subject.untrained(), held_out.stories, eos_id)
    words = np.array([len(text.split()) for text in subject.texts])
    return {
        **_figures(trained, held_out.sizes, words),
        "intervals": intervals(trained, held_out.sizes, words),
        "by_position": by_position(trained),
        "by_length": by_length(trained, held_out.sizes),
        "untrained": _figures(untrained, held_out.sizes, words),
        "floors": _floors(subject, words),
    }


def _understanding(subject: Subject) -> dict[str, Any]:
    return _answered(subject, questions(), figures_of_pairs)


def _cloze(subject: Subject) -> dict[str, Any]:
    asked = cloze_questions(subject.texts)
    if not asked:
        raise AbsentError("the held-out stories give no balanced gaps; a few hundred stories do")
    return _answered(subject, asked, lambda scores: figures(asked, scores))


def _answered(subject: Subject, asked: Sequence[Question], figures_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The figures of the questions that the model answers, and of what it is to be set against."""
    length = subject.model.config.context_length

    def of(scorer: Scorer) -> dict[str, Any]:
        return figures_of(log_probabilities(scorer, subject.tokenizer, asked, length))

    try:
        found = {**of(scored_by(subject.model)), "untrained": of(scored_by(subject.untrained()))}
    except TooShortError as error:
        raise AbsentError(str(error)) from None
    try:
        return {**found, "floors": {"5-gram": of(counted_by(subject.ngrams[0]["5-gram"]))}}
    except AbsentError as error:
        return {**found, "floors": {"absent": str(error)}}


def _floors(subject: Subject, words: np.ndarray) -> dict[str, Any]:
    subject.say("compressors and n-gram models")
    held_out = subject.held_out
    found: dict[str, Any] = {name: {"bits_per_byte": bits} for name, bits in compressed(subject.texts).items()}
    try:
        counted, tokens = subject.ngrams
    except AbsentError as error:
        return {**found, "absent": str(error)}
    models = {name: _figures(model.score(held_out.stories), held_out.sizes, words) for name, model in counted.items()}
    return {**models, **found, "counted_tokens": tokens}


def _figures(scores: TokenScores, sizes: np.ndarray, words: np.ndarray) -> dict[str, Any]:
    found = summed(scores, sizes)
    bits = found.loss * found.tokens / math.log(2)
    return {**asdict(found), "words": int(words.sum()), "bits_per_word": bits / max(1, int(words.sum()))}


PARTS: dict[str, Part] = {
    "likelihood": _likelihood,
    "told": told_part,
    "copying": copying_part,
    "understanding": _understanding,
    "cloze": _cloze,
}
