"""A told story word by word: how likely each was to the model, and what else it might have told."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from talewright.inspect.predictions import Reading, read
from talewright.studio.library import Opened


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """What might have come."""

    token: int
    text: str
    """Empty for the end of the story."""
    probability: float


@dataclass(frozen=True, kw_only=True)
class Word:
    """What is shown as one: a token, or those that make up one character."""

    start: int
    """How many told tokens stand before it."""
    text: str
    probability: float
    alternatives: list[Alternative] = field(default_factory=list)
    """The likeliest tokens in its place, the likeliest first."""


def read_words(opened: Opened, given: Sequence[int], told: Sequence[int]) -> list[Word]:
    """The told tokens as words, with the model's own probabilities: before temperature, top-k and the like.

    given: the tokens before them, the end of text in front left out. A last character that is not whole is left out.
    """
    if not told:
        return []
    context, tokenizer = opened.model.config.context_length, opened.tokenizer
    before = [tokenizer.eos_id, *given][-context:]
    readings = read_long(opened, np.array([*before, *told], dtype=np.int64))
    first = len(before) - 1  # the prediction of the first told token
    decoder, words, start, text, probability = codecs.getincrementaldecoder("utf-8")("replace"), [], 0, "", 1.0
    for number, token in enumerate(told):
        text += decoder.decode(tokenizer.token_bytes[token])
        probability *= float(np.exp(-readings.losses[first + number]))
        if text:
            alternatives = _alternatives(opened, readings, first + start)
            words.append(Word(start=start, text=text, probability=probability, alternatives=alternatives))
            start, text, probability = number + 1, "", 1.0
    return words


def read_long(opened: Opened, tokens: np.ndarray) -> Reading:
    """`read` of a passage (T + 1,) of any length: past the context, in the windows that the engine tells from, each of
    which begins with the newest half of what the one before it held.
    """
    context = opened.model.config.context_length
    half = context // 2
    parts = [read(opened.model, tokens[: context + 1])]
    start = context - half
    while start + half + 1 < len(tokens):
        part = read(opened.model, tokens[start : start + context + 1])
        parts.append(part if half == 0 else _later(part, half))
        start += context - half
    return Reading(
        tokens=tokens,
        losses=np.concatenate([part.losses for part in parts]),
        ranks=np.concatenate([part.ranks for part in parts]),
        expected=np.concatenate([part.expected for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def _later(part: Reading, start: int) -> Reading:
    return Reading(
        tokens=part.tokens[start:],
        losses=part.losses[start:],
        ranks=part.ranks[start:],
        expected=part.expected[start:],
        probabilities=part.probabilities[start:],
    )


def _alternatives(opened: Opened, readings: Reading, place: int) -> list[Alternative]:
    """The likeliest tokens that are the end, or whole characters."""
    found, tokenizer = [], opened.tokenizer
    for token, probability in zip(readings.expected[place], readings.probabilities[place], strict=True):
        if token >= tokenizer.vocab_size:  # a model may have more ids than its tokenizer; they are never told
            continue
        text = "" if token == tokenizer.eos_id else tokenizer.token_bytes[token].decode("utf-8", "replace")
        if "�" not in text:
            found.append(Alternative(token=int(token), text=text, probability=float(probability)))
    return found
