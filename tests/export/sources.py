"""A source of an export around any shape of model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from talewright.config import ModelConfig, load_recipe
from talewright.export import Source
from talewright.tokenizer import Tokenizer
from tests.model.shapes import lively_model


def source_of(config: ModelConfig, tokenizer: Tokenizer, seed: int = 0) -> Source:
    """Of a model of that shape with all its weights far from 0; its vocabulary grows to hold the tokenizer's, if need
    be with ids to spare.
    """
    if config.vocab_size < tokenizer.vocab_size:
        config = dataclasses.replace(config, vocab_size=tokenizer.vocab_size + config.vocab_size)
    recipe = dataclasses.replace(load_recipe("quickstart"), model=config)
    model = lively_model(config, seed)
    return Source(recipe=recipe, model=model, tokenizer=tokenizer, run=Path("run"), checkpoint="step-1")
