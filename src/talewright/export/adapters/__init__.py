"""The models of other programs that compute the same as some of ours: how each is laid out."""

from __future__ import annotations

import dataclasses

import torch

from talewright.config import ModelConfig
from talewright.export.adapters.fold import fold_embedding, fold_scale
from talewright.export.adapters.gpt import GPT2, GPTNeo
from talewright.export.adapters.llama import Llama, Qwen3
from talewright.export.adapters.native import Own
from talewright.export.adapters.raschka import Textbook
from talewright.export.adapters.rules import Layout, Tensors
from talewright.model.gpt import GPT

__all__ = [
    "PUBLISHED",
    "READABLE",
    "Layout",
    "Llama",
    "Own",
    "Qwen3",
    "Tensors",
    "choose_layout",
    "folded_shape",
    "laid_out",
]

PUBLISHED: tuple[Layout, ...] = (GPT2(), GPTNeo(), Llama(), Qwen3())
"""The classes that transformers has."""
READABLE: tuple[Layout, ...] = (*PUBLISHED, Textbook(), Own())


def choose_layout(config: ModelConfig) -> tuple[Layout | None, str]:
    """The class that computes a model of that shape, or None and why there is none.

    One that takes the scale of the attention scores as it is comes before one that needs it folded into the queries.
    """
    config = folded_shape(config)
    for scaled in (config.attention_scaled, not config.attention_scaled):
        shape = dataclasses.replace(config, attention_scaled=scaled)
        for layout in PUBLISHED:
            if layout.why_not(shape) is None:
                return layout, ""
    nearest = PUBLISHED[0] if config.norm == "layernorm" else PUBLISHED[2]
    return None, str(nearest.why_not(dataclasses.replace(config, attention_scaled=True)))


def laid_out(model: GPT, layout: Layout) -> tuple[ModelConfig, Tensors]:
    """Our model as that class holds it: the shape that it describes, and the tensors by its names."""
    config, tensors = fold_embedding(model)
    scaled = layout.why_not(dataclasses.replace(config, attention_scaled=True)) is None
    config, tensors = fold_scale(config, tensors, scaled)
    return config, layout.to_theirs(config, tensors)


def folded_shape(config: ModelConfig) -> ModelConfig:
    """The shape of the model after `fold_embedding`, without making it."""
    with torch.device("meta"):
        return fold_embedding(GPT(config))[0]
