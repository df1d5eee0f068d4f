"""The classes of transformers that compute the same as some of our models."""

from __future__ import annotations

import dataclasses

from talewright.config import ModelConfig
from talewright.export.layouts.fold import Tensors, fold_embedding, fold_scale
from talewright.export.layouts.gpt import GPT2, GPTNeo
from talewright.export.layouts.llama import Llama, Qwen3
from talewright.export.layouts.rules import Layout
from talewright.model.gpt import GPT

__all__ = ["LAYOUTS", "Layout", "choose_layout", "laid_out"]

LAYOUTS: tuple[Layout, ...] = (GPT2(), GPTNeo(), Llama(), Qwen3())


def choose_layout(config: ModelConfig) -> tuple[Layout | None, str]:
    """The class that computes a model of that shape, or None and why there is none.

    One that takes the scale of the attention scores as it is comes before one that needs it folded into the queries.
    """
    config = _shape_when_folded(config)
    for scaled in (config.attention_scaled, not config.attention_scaled):
        shape = dataclasses.replace(config, attention_scaled=scaled)
        for layout in LAYOUTS:
            if layout.why_not(shape) is None:
                return layout, ""
    nearest = LAYOUTS[0] if config.norm == "layernorm" else LAYOUTS[2]
    scaled = dataclasses.replace(config, attention_scaled=True)
    return None, f"{nearest.why_not(scaled)}"


def laid_out(model: GPT, layout: Layout) -> tuple[ModelConfig, Tensors]:
    """Our model as that class holds it: the shape that it describes, and the tensors by its names."""
    config, tensors = fold_embedding(model)
    scaled = layout.why_not(dataclasses.replace(config, attention_scaled=True)) is None
    config, tensors = fold_scale(config, tensors, scaled)
    return config, layout.to_theirs(config, tensors)


def _shape_when_folded(config: ModelConfig) -> ModelConfig:
    import torch

    with torch.device("meta"):
        return fold_embedding(GPT(config))[0]
