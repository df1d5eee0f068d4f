"""What a model understands: facts, reasoning, and keeping the context in mind (the kinds of prompts of Eldan & Li 2023,
arXiv:2305.07759), as questions with two endings of which one is right.

The questions were written for this, in words that TinyStories uses. They come in pairs with the same two endings, and
what is right in the one is wrong in the other: whoever looks at the endings alone, or prefers the frequent word, has
exactly half of them right. `questions/` holds them, a file a kind, as they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from talewright.evaluate.multiple_choice.scoring import TIE, Question, figures, marks, share

KINDS = ("facts", "reasoning", "context")
SEPARATOR = " | "
"""Parts a beginning from its right ending, in the files."""


@cache
def questions() -> tuple[Question, ...]:
    """All questions; the two of a pair stand side by side, with the same choices."""
    return tuple(question for kind in KINDS for question in read_questions(kind, _text(kind)))


def read_questions(kind: str, text: str) -> list[Question]:
    """The questions of a file. Lines that begin with # are remarks; the others are pairs, parted by empty lines."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        if len(lines) != 2 or any(line.count(SEPARATOR) != 1 for line in lines):
            raise ValueError(f"{kind}: no pair of questions, each a beginning{SEPARATOR}and its ending: {block!r}")
        contexts, endings = zip(*(line.split(SEPARATOR) for line in lines), strict=True)
        choices = tuple(f" {ending}" for ending in endings)
        found += [Question(kind, context, choices, right) for right, context in enumerate(contexts)]
    return found


def both_right(given: np.ndarray) -> float:
    """Share of the pairs of which both questions are right, from their marks: chance gives 1/4, and whoever does not
    read the beginning, 0.
    """
    return float((given.reshape(-1, 2) == 1).all(axis=1).mean())


def matched(asked: Sequence[Question], scores: Sequence[np.ndarray]) -> np.ndarray:
    """Of each pair, whether its two endings are likelier the right way round than the other: (pairs,) 1, 0, or 0.5.

    How frequent an ending is cancels out, so that it shows what the beginnings tell the model before it is enough to
    have both questions right. Chance, and whoever does not read the beginnings, gives 1/2.
    """
    ahead = np.array([found[q.right] - found[1 - q.right] for q, found in zip(asked, scores, strict=True)])
    gain = ahead.reshape(-1, 2).sum(axis=1)
    return np.where(np.abs(gain) > TIE, gain > 0, 0.5)  # nan, of a broken model, is a tie


def figures_of_pairs(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """What scores of all the questions' choices make: `choices.figures`, and what the pairs add to them."""
    asked = questions()
    ways = matched(asked, scores)
    kinds = np.array([question.kind for question in asked[::2]])
    return {
        **figures(asked, scores),
        "both_of_a_pair": both_right(marks(asked, scores)),
        "matched": {
            **asdict(share(asked[::2], ways)),
            "kinds": {kind: asdict(share(_firsts(kind), ways[kinds == kind])) for kind in KINDS},
        },
    }


def _firsts(kind: str) -> list[Question]:
    """The first question of each pair of a kind."""
    return [question for question in questions()[::2] if question.kind == kind]


def _text(kind: str) -> str:
    return (files("talewright.evaluate") / "questions" / f"{kind}.txt").read_text(encoding="utf-8")
