"""Our own names, as --to hf-remote writes them: any of our models fits."""

from __future__ import annotations

import dataclasses
from typing import Any

from talewright.config import ModelConfig, recipe_from_dict
from talewright.errors import UserError
from talewright.export.adapters.base import Adapter
from talewright.export.adapters.config_json import MOST, ConfigJson
from talewright.export.adapters.tensor_map import TensorMap

OUTER = ("embedding", "bigrams", "positions", "norm", "head")
IN_BLOCK = (
    *("norm1", "attention", "attention.qkv", "attention.out", "attention.q_norm", "attention.k_norm"),
    *("norm2", "mlp.up", "mlp.down", "convolution1", "convolution2", "mlp.convolution"),
)


class NativeAdapter(Adapter):
    architecture = "TalewrightForCausalLM"
    model_type = "talewright"
    prefix = "gpt."
    tensor_map = TensorMap(
        {name: f"gpt.{name}" for name in OUTER} | {name: f"gpt.blocks.{{i}}.{name}" for name in IN_BLOCK}
    )

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        shape = dataclasses.asdict(config)
        shape.pop("tied")  # transformers calls it tie_word_embeddings
        return shape

    def from_json(self, json: ConfigJson) -> ModelConfig:
        names = {field.name for field in dataclasses.fields(ModelConfig)} & json.values.keys()
        shape = {name: json.values[name] for name in names} | {"tied": json.boolean("tie_word_embeddings", True)}
        for name, value in shape.items():
            if type(value) is int and value > MOST:
                json.integer(name)
        try:  # as strict as reading a recipe
            return recipe_from_dict({"model": shape, "train": {"max_steps": 1}}, json.path).model
        except UserError as error:
            raise UserError(f"{json.path}: {error}") from None
