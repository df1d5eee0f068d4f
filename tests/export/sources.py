"""The source of an export, for any shape of model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from talewright.config import ModelConfig, load_recipe
from talewright.export import ExportSource
from talewright.tokenizer import Tokenizer
from tests.model.shapes import lively_model


def source_of(config: ModelConfig, tokenizer: Tokenizer, seed: int = 0) -> ExportSource:
    """A model of that shape with all weights far from 0. A vocabulary smaller than the tokenizer's grows beyond it."""
    if config.vocab_size < tokenizer.vocab_size:
        config = dataclasses.replace(config, vocab_size=tokenizer.vocab_size + config.vocab_size)
    recipe = dataclasses.replace(load_recipe("quickstart"), model=config)
    model = lively_model(config, seed)
    return ExportSource(recipe=recipe, model=model, tokenizer=tokenizer, run=Path("run"), checkpoint="step-1")
