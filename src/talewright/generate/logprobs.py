"""How likely the model found the tokens that were drawn."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class TokenLogprob(NamedTuple):
    """The natural logarithm of a token's probability, before any sampling setting."""

    logprob: float
    most_likely: list[tuple[int, float]]
    """The ids of the most likely tokens and their log-probabilities, the most likely one first."""


def token_logprob(logits: Tensor, token: int, alternatives: int) -> TokenLogprob:
    """Of a token, and of that many most likely ones, from logits (V,)."""
    logprobs = logits.log_softmax(-1)
    best = logprobs.topk(min(alternatives, len(logprobs)))
    return TokenLogprob(float(logprobs[token]), list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
