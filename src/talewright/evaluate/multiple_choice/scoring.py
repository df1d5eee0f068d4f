"""Questions with some answers to choose from, answered by which of them is likeliest: no telling, no chance, no judge.

A question is a beginning and its possible continuations, as text, so that every tokenizer gets the same ones. The
model reads an end of text, as before every story, then the beginning; a continuation has the log-probability that its
tokens have together. Where a tokenizer merges the end of the beginning with the continuation, what is scored starts
before the merged token, for all of the question's choices alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from talewright.errors import UserError
from talewright.evaluate.likelihood import BATCH_TOKENS, padded
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, token_scores
from talewright.tokenizer import Tokenizer

TIE = 1e-4
"""Log-probabilities nearer than this, in nats, are the same: rounding differs between batches, and decides nothing."""
CONFIDENCE = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""


class TooShortError(UserError):
    """The model's context does not hold an answer."""


@dataclass(frozen=True)
class Question:
    """What comes next? One of the choices is right."""

    kind: str
    context: str
    choices: tuple[str, ...]
    """Continuations, each from the space that parts it from the context on."""
    right: int
    """Number of the right choice."""


@dataclass(frozen=True)
class Row:
    """Tokens to read, and where those begin that are scored."""

    ids: np.ndarray
    start: int


Scorer = Callable[[Sequence[Row]], np.ndarray]
"""Log-probability in nats of each row's tokens from `start` on, given those before: (rows,) float64."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of some questions were answered rightly; where n choices tie as the likeliest, each counts 1 / n."""

    accuracy: float
    """From 0 to 1."""
    low: float
    """Lower end of the 95 % interval of the accuracy (Wilson 1927)."""
    high: float
    questions: int
    chance: float
    """What drawing an answer would give."""


def scored_by(model: GPT, batch_tokens: int = BATCH_TOKENS) -> Scorer:
    """A model as a scorer. It reads batches of rows of about one length, of at most `batch_tokens` places each."""

    def score(rows: Sequence[Row]) -> np.ndarray:
        training = model.training
        model.eval()
        try:
            return _log_probabilities(model, rows, batch_tokens)
        finally:
            model.train(training)

    return score


def log_probabilities(
    scorer: Scorer, tokenizer: Tokenizer, questions: Sequence[Question], context_length: int
) -> list[np.ndarray]:
    """Log-probability of each choice of each question, in nats."""
    rows = [rows_of(question, tokenizer, context_length) for question in questions]
    found = scorer([row for some in rows for row in some])
    return np.split(found, np.cumsum([len(some) for some in rows])[:-1]) if rows else []


def rows_of(question: Question, tokenizer: Tokenizer, context_length: int) -> list[Row]:
    """A row for each choice. Of a context too long for the model, all rows lack the same tokens at its beginning.

    Raises TooShortError where the model's context would not hold a choice.
    """
    texts = [question.context, *(question.context + choice for choice in question.choices)]
    context, *wholes = ([tokenizer.eos_id, *ids] for ids in tokenizer.encode_batch(texts))
    common = sum(1 for _ in _same(context, *wholes))
    left_out = max(0, max(map(len, wholes)) - 1 - context_length)
    if left_out >= common:
        raise TooShortError(f"the model's context of {context_length} tokens is too short for {question.choices[0]!r}")
    return [Row(np.array(whole[left_out:], dtype=np.int64), common - left_out) for whole in wholes]


def marks(questions: Sequence[Question], scores: Sequence[np.ndarray], per_byte: bool = False) -> np.ndarray:
    """1 for each question whose right choice has the highest score, 0 for the others, a share where choices tie.

    With `per_byte`, a choice's score is divided by its bytes, the leading space not counted: (questions,) float64.
    """
    return np.array([_mark(*pair, per_byte) for pair in zip(questions, scores, strict=True)])


def figures(questions: Sequence[Question], scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """The share of right answers, by kind too, and by scores per byte, as plain values."""
    given = marks(questions, scores)
    kinds = np.array([question.kind for question in questions])
    return {
        **asdict(share(questions, given)),
        "accuracy_per_byte": float(marks(questions, scores, per_byte=True).mean()),
        "kinds": {
            kind: asdict(share([q for q in questions if q.kind == kind], given[kinds == kind]))
            for kind in dict.fromkeys(kinds.tolist())
        },
    }


def share(questions: Sequence[Question], given: np.ndarray) -> Share:
    """The accuracy that these marks make."""
    accuracy, chance = float(np.mean(given)), float(np.mean([1 / len(question.choices) for question in questions]))
    low, high = wilson(accuracy, len(questions))
    return Share(accuracy=accuracy, low=low, high=high, questions=len(questions), chance=chance)


def wilson(accuracy: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was found in `count` cases (Wilson 1927)."""
    z2 = CONFIDENCE**2 / count
    middle = (accuracy + z2 / 2) / (1 + z2)
    reach = math.sqrt(z2 * accuracy * (1 - accuracy) + z2 * z2 / 4) / (1 + z2)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _mark(question: Question, scores: np.ndarray, per_byte: bool) -> float:
    if per_byte:
        scores = scores / np.array([len(choice.strip().encode("utf-8")) for choice in question.choices])
    best = scores >= scores.max() - TIE
    if not best.any():  # nan: a broken model knows nothing
        return 1 / len(scores)
    return float(best[question.right] / best.sum())


def _same(first: list[int], *others: list[int]) -> list[int]:
    """What all the sequences begin with."""
    length = min(map(len, (first, *others)))
    ends = (n for n in range(length) if any(other[n] != first[n] for other in others))
    return first[: next(ends, length)]


@torch.inference_mode()
def _log_probabilities(model: GPT, rows: Sequence[Row], batch_tokens: int) -> np.ndarray:
    found = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda n: len(rows[n].ids), reverse=True)  # the most memory is asked for first
    device = model.output_weight.device
    while order:
        count = max(1, batch_tokens // len(rows[order[0]].ids))
        some, order = order[:count], order[count:]
        inputs, targets = padded([rows[n].ids for n in some])
        for target, n in zip(targets, some, strict=True):
            target[: rows[n].start - 1] = IGNORED
        hidden = model.hidden(torch.from_numpy(inputs).to(device))
        losses, _ = token_scores(hidden, model.output_weight, torch.from_numpy(targets).to(device))
        found[some] = -losses.double().sum(-1).cpu().numpy()
    return found
