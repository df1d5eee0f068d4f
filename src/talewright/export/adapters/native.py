"""Our own names: the layout of hf-remote, in which any of our models goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig, recipe_from_dict
from talewright.errors import UserError
from talewright.export.adapters.rules import Layout, Rule, shapes
from talewright.export.adapters.settings import Settings


class Own(Layout):
    architecture = "TalewrightForCausalLM"
    model_type = "talewright"
    prefix = "gpt."

    def why_not(self, config: ModelConfig) -> str | None:
        return None

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        shape = dataclasses.asdict(config)
        shape.pop("tied")  # transformers' own word for it is tie_word_embeddings
        return shape

    def config(self, settings: Settings) -> ModelConfig:
        names = {field.name for field in dataclasses.fields(ModelConfig)} & settings.values.keys()
        shape = {name: settings.values[name] for name in names} | {"tied": settings.yes("tie_word_embeddings", True)}
        try:  # read as strictly as a recipe is
            return recipe_from_dict({"model": shape, "train": {"max_steps": 1}}, settings.where).model
        except UserError as error:
            raise UserError(f"{settings.where}: {error}") from None

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return config.bias

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        modules = dict.fromkeys(name.rpartition(".")[0] for name in shapes(config))
        yield from (Rule(module, (f"gpt.{module}",)) for module in modules)
