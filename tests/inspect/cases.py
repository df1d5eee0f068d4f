"""A tokenizer with whole words, and sequences in it, for the tests of inspections."""

from __future__ import annotations

import numpy as np

from talewright.config import ModelConfig, TokenizerConfig
from talewright.tokenizer import Tokenizer, make_tokenizer

TEXT = [
    "Once there was a girl. One day, the girl met Tom and Lily in the park. Tom and Lily ran to the park.",
    "A dog saw a bird. It was a red bird, and the dog ran to it. One day Tom met the dog, and Lily met the bird.",
    "I had a ball. The ball was red, and Tom saw the ball. Lily and I ran to the red ball one day.",
] * 4


def small_tokenizer() -> Tokenizer:
    return make_tokenizer(TokenizerConfig(), 400, lambda: iter(TEXT))


def small_config(**changes: object) -> ModelConfig:
    values = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 24, "vocab_size": 400, "context_length": 64}
    return ModelConfig(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def sequences_of(tokenizer: Tokenizer, texts: list[str] = TEXT) -> list[np.ndarray]:
    return [np.array([tokenizer.eos_id, *tokenizer.encode(text), tokenizer.eos_id])[:65] for text in texts]
