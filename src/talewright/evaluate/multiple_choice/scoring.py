"""Multiple-choice questions, answered by likelihood: nothing is generated, nothing is random, nobody judges.

A question is a context and its possible continuations, as text, so it is the same for every tokenizer. The model reads
an end-of-text token, as before every story, then the context. A choice's score is the log-probability of its tokens
together. If a tokenizer merges the end of the context with a choice, scoring starts before the merged token, for all
choices of the question alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from talewright.data.batches import pad_sequences
from talewright.evaluate import UnavailableError
from talewright.evaluate.likelihood import BATCH_TOKENS
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, token_scores
from talewright.tokenizer import Tokenizer

TIE = 1e-4
"""Log-probabilities closer than this, in nats, tie: rounding differs between batches and must decide nothing."""
CONFIDENCE = 1.959964
"""Standard deviations to either side that hold 95% of a normal distribution."""


@dataclass(frozen=True)
class Question:
    """A context, and choices of which one is correct."""

    kind: str
    context: str
    choices: tuple[str, ...]
    """Continuations, each including the space that separates it from the context."""
    answer: int
    """Index of the correct choice."""


@dataclass(frozen=True)
class EncodedChoice:
    """Tokens of a context and one choice; those from `start` on are scored."""

    ids: np.ndarray
    start: int


Scorer = Callable[[Sequence[EncodedChoice]], np.ndarray]
"""Log-probability in nats of each sequence's tokens from `start` on, given those before: (choices,) float64."""


def model_scorer(model: GPT, batch_tokens: int = BATCH_TOKENS) -> Scorer:
    """A model as a scorer. It reads batches of similar lengths, of at most `batch_tokens` positions each."""
    device = model.output_weight.device

    @torch.inference_mode()
    def score_batch(choices: Sequence[EncodedChoice]) -> np.ndarray:
        inputs, targets = pad_sequences([choice.ids for choice in choices])
        for target, choice in zip(targets, choices, strict=True):
            target[: choice.start - 1] = IGNORED
        hidden = model.hidden(torch.from_numpy(inputs).to(device))
        losses, _ = token_scores(hidden, model.output_weight, torch.from_numpy(targets).to(device))
        return -losses.cpu().double().sum(-1).numpy()  # Apple's GPU has no float64

    def score(choices: Sequence[EncodedChoice]) -> np.ndarray:
        log_probs, training = np.zeros(len(choices)), model.training
        order = sorted(range(len(choices)), key=lambda n: len(choices[n].ids), reverse=True)  # most memory first
        model.eval()
        try:
            while order:
                count = max(1, batch_tokens // len(choices[order[0]].ids))
                batch, order = order[:count], order[count:]
                log_probs[batch] = score_batch([choices[n] for n in batch])
        finally:
            model.train(training)
        return log_probs

    return score


def choice_log_probs(scorer: Scorer, encoded: Sequence[Sequence[EncodedChoice]]) -> list[np.ndarray]:
    """Log-probability of each choice of each question, as `encode_question` returns them, in nats."""
    scores = scorer([choice for choices in encoded for choice in choices])
    return np.split(scores, np.cumsum([len(choices) for choices in encoded])[:-1]) if encoded else []


def encode_question(question: Question, tokenizer: Tokenizer, context_length: int) -> list[EncodedChoice]:
    """Encode each choice with its context. A context too long for the model loses the same first tokens in all.

    Raises UnavailableError if the model's context would not hold a choice.
    """
    texts = [question.context, *(question.context + choice for choice in question.choices)]
    context, *wholes = ([tokenizer.begin_id, *ids] for ids in tokenizer.encode_batch(texts))
    common = _common_prefix(context, *wholes)
    dropped = max(0, max(map(len, wholes)) - 1 - context_length)
    if dropped >= common:
        raise UnavailableError(f"a context of {context_length} tokens is too short for {question.choices[0]!r}")
    return [EncodedChoice(np.array(whole[dropped:], dtype=np.int64), common - dropped) for whole in wholes]


def question_scores(
    questions: Sequence[Question], log_probs: Sequence[np.ndarray], per_byte: bool = False
) -> np.ndarray:
    """1 for each question whose correct choice is the most likely, 0 for the others, 1 / n if n choices tie.

    With `per_byte`, a choice's log-probability is divided by its bytes, without the leading space: (questions,)
    float64.
    """
    return np.array([_question_score(*pair, per_byte) for pair in zip(questions, log_probs, strict=True)])


def accuracy_figures(questions: Sequence[Question], log_probs: Sequence[np.ndarray]) -> dict[str, Any]:
    """The accuracy, also by kind, and the accuracy of log-probabilities per byte, as plain values."""
    scores = question_scores(questions, log_probs)
    kinds = np.array([question.kind for question in questions])
    return {
        **mean_accuracy(questions, scores),
        "accuracy_per_byte": float(question_scores(questions, log_probs, per_byte=True).mean()),
        "kinds": {
            kind: mean_accuracy([q for q in questions if q.kind == kind], scores[kinds == kind])
            for kind in dict.fromkeys(kinds.tolist())
        },
    }


def mean_accuracy(questions: Sequence[Question], scores: np.ndarray) -> dict[str, Any]:
    """The accuracy of questions with these scores, its 95% interval, and that of random guessing."""
    accuracy, chance = float(np.mean(scores)), float(np.mean([1 / len(question.choices) for question in questions]))
    low, high = wilson_interval(accuracy, len(questions))
    return {"accuracy": accuracy, "low": low, "high": high, "questions": len(questions), "chance": chance}


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """The 95% interval of a proportion of `count` cases (Wilson 1927)."""
    z2 = CONFIDENCE**2 / count
    center = (accuracy + z2 / 2) / (1 + z2)
    margin = math.sqrt(z2 * accuracy * (1 - accuracy) + z2 * z2 / 4) / (1 + z2)
    return max(0.0, center - margin), min(1.0, center + margin)


def _question_score(question: Question, log_probs: np.ndarray, per_byte: bool) -> float:
    if per_byte:
        log_probs = log_probs / np.array([len(choice.strip().encode("utf-8")) for choice in question.choices])
    best = log_probs >= log_probs.max() - TIE
    if not best.any():  # nan: the model is broken
        return 1 / len(log_probs)
    return float(best[question.answer] / best.sum())


def _common_prefix(*sequences: list[int]) -> int:
    """How many tokens all the sequences share at their start."""
    length = min(map(len, sequences))
    return next((n for n in range(length) if len({sequence[n] for sequence in sequences}) > 1), length)
