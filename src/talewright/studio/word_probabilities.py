"""A generated story word by word: how probable each word was to the model, and the alternatives to it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from talewright.inspect.predictions import TokenPredictions, predict_tokens
from talewright.model.gpt import GPT
from talewright.server.registry import LoadedModel
from talewright.server.scheduler import Generation
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A token that the model might have generated instead."""

    token: int
    text: str
    """Empty for the end of the story."""
    probability: float


@dataclass(frozen=True, kw_only=True)
class WordProbability:
    """A piece of text that is shown as one: a token, or the tokens that make up one character."""

    start: int
    """Number of generated tokens before it."""
    text: str
    probability: float
    alternatives: list[Alternative] = field(default_factory=list)
    """The most probable tokens in its place, most probable first."""


def word_probabilities(loaded: LoadedModel, prompt: Sequence[int], tokens: Sequence[int]) -> list[WordProbability]:
    """The generated tokens as words, with the model's own probabilities: before temperature, top-k and top-p.

    `prompt` holds the tokens before them, without the end-of-text token in front. An incomplete last character is left
    out.
    """
    if not tokens:
        return []
    tokenizer = loaded.tokenizer
    before = [tokenizer.begin_id, *prompt][-loaded.model.config.context_length :]
    predictions = predict_long(loaded.model, np.array([*before, *tokens], dtype=np.int64))
    first = len(before) - 1  # the prediction of the first generated token
    decoder, words, start, text, probability = codecs.getincrementaldecoder("utf-8")("replace"), [], 0, "", 1.0
    for number, token in enumerate(tokens):
        text += decoder.decode(tokenizer.after_prompt(token, first=not prompt and number == 0))
        probability *= float(np.exp(-predictions.losses[first + number]))
        if text:
            alternatives = _alternatives(loaded, predictions, first + start)
            words.append(WordProbability(start=start, text=text, probability=probability, alternatives=alternatives))
            start, text, probability = number + 1, "", 1.0
    return words


def read_tokens(story: Generation, tokenizer: Tokenizer) -> np.ndarray:
    """The story as the model reads it, (T,): the token that begins a text, prompt, story, and its end if it came."""
    end = [tokenizer.eos_id] if story.finished else []
    return np.array([tokenizer.begin_id, *(story.prompt_tokens or []), *story.tokens, *end], dtype=np.int64)


def predict_long(model: GPT, tokens: np.ndarray) -> TokenPredictions:
    """`predict_tokens` on a sequence (T + 1,) of any length: beyond the context, in the windows that the engine
    generates from, each of which starts with the newest half of the window before it.
    """
    context = model.config.context_length
    half = context // 2
    windows = [predict_tokens(model, tokens[: context + 1])]
    for start in range(context - half, len(tokens) - half - 1, context - half):
        window = predict_tokens(model, tokens[start : start + context + 1])
        windows.append(TokenPredictions(*(column[half:] for column in window)))
    return TokenPredictions(*(np.concatenate(columns) for columns in zip(*windows, strict=True)))


def _alternatives(loaded: LoadedModel, predictions: TokenPredictions, position: int) -> list[Alternative]:
    """The most probable tokens that are the end of the story or whole characters."""
    found, tokenizer = [], loaded.tokenizer
    top = zip(predictions.top_tokens[position], predictions.top_probabilities[position], strict=True)
    for token, probability in top:
        if token >= tokenizer.vocab_size or token in tokenizer.unused:  # ids that are never generated
            continue
        text = "" if token in tokenizer.ends else tokenizer.token_bytes[token].decode("utf-8", "replace")
        if "�" not in text:
            found.append(Alternative(token=int(token), text=text, probability=float(probability)))
    return found
