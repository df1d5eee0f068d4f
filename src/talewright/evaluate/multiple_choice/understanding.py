"""Questions about facts, reasoning and context (the kinds of prompts of Eldan & Li 2023, arXiv:2305.07759), each with
two endings of which one is correct.

The questions were written for this project, in words that TinyStories uses. They come in pairs with the same two
endings; the correct ending of one is wrong for the other. A model that ignores the contexts, or prefers frequent words,
has exactly half of them right. `questions/` holds one file per kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from talewright.evaluate.multiple_choice.scoring import TIE, Question, accuracy_figures, mean_accuracy, question_scores

KINDS = ("facts", "reasoning", "context")
SEPARATOR = " | "
"""Separates a context from its correct ending, in the files."""


@cache
def understanding_questions() -> tuple[Question, ...]:
    """All questions; the two of a pair are adjacent and have the same choices."""
    folder = files("talewright.evaluate") / "questions"
    texts = {kind: (folder / f"{kind}.txt").read_text(encoding="utf-8") for kind in KINDS}
    return tuple(question for kind, text in texts.items() for question in parse_questions(kind, text))


def parse_questions(kind: str, text: str) -> list[Question]:
    """The questions of a file. Lines that start with # are comments; the others are pairs, separated by blank lines."""
    questions = []
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        if len(lines) != 2 or any(line.count(SEPARATOR) != 1 for line in lines):
            raise ValueError(f"{kind}: not a pair of questions, each a context{SEPARATOR}and its ending: {block!r}")
        contexts, endings = zip(*(line.split(SEPARATOR) for line in lines), strict=True)
        choices = tuple(f" {ending}" for ending in endings)
        questions += [Question(kind, context, choices, answer) for answer, context in enumerate(contexts)]
    return questions


def both_correct(scores: np.ndarray) -> float:
    """Share of the pairs with both questions right: 1/4 by chance, 0 for a model that ignores the contexts."""
    return float((scores.reshape(-1, 2) == 1).all(axis=1).mean())


def matched(questions: Sequence[Question], log_probs: Sequence[np.ndarray]) -> np.ndarray:
    """For each pair, 1 if its two endings are together more likely with their own contexts than swapped, 0 if less, 0.5
    if they tie: (pairs,).

    The frequency of an ending cancels out, so this rises before both questions are right. Chance, and a model that
    ignores the contexts, give 1/2.
    """
    margins = np.array([own[q.answer] - own[1 - q.answer] for q, own in zip(questions, log_probs, strict=True)])
    gain = margins.reshape(-1, 2).sum(axis=1)
    return np.where(np.abs(gain) > TIE, gain > 0, 0.5)  # nan, of a broken model, ties


def understanding_figures(log_probs: Sequence[np.ndarray]) -> dict[str, Any]:
    """The accuracy figures of all the questions, and those of the pairs."""
    questions = understanding_questions()
    pairs = questions[::2]
    pair_scores = matched(questions, log_probs)
    by_kind = {kind: [i for i, pair in enumerate(pairs) if pair.kind == kind] for kind in KINDS}
    return {
        **accuracy_figures(questions, log_probs),
        "both_of_a_pair": both_correct(question_scores(questions, log_probs)),
        "matched": {
            **mean_accuracy(pairs, pair_scores),
            "kinds": {
                kind: mean_accuracy([pairs[i] for i in some], pair_scores[some]) for kind, some in by_kind.items()
            },
        },
    }
