"""Fold what is fixed into the weights, so that a simpler model class computes the same.

A class without sinusoidal positions, without a scaled embedding, or with another scale of the attention scores can
then hold the model.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from talewright.config import ModelConfig
from talewright.export.adapters.tensor_map import Tensors

if TYPE_CHECKING:
    from talewright.model.gpt import GPT


def folded_config(config: ModelConfig, attention_scaled: bool) -> ModelConfig:
    """The shape with learned positions for sinusoidal ones, without a scaled embedding, and with attention scores
    divided by sqrt(head_dim) or not.

    The embedding's scale goes into its weights. A tied output layer is not scaled, so it gets weights of its own.
    """
    config = dataclasses.replace(config, attention_scaled=attention_scaled)
    if config.positions == "sinusoidal":
        config = dataclasses.replace(config, positions="learned")
    if config.embedding_scaled:
        config = dataclasses.replace(config, embedding_scaled=False, tied=False)
    return config


def fold(model: GPT, attention_scaled: bool) -> tuple[ModelConfig, Tensors]:
    """The model in the shape of `folded_config`."""
    config, tensors = model.config, dict(model.state_dict())
    if config.positions == "sinusoidal":
        tensors["positions.weight"] = model.table
    if config.embedding_scaled:
        tensors["head.weight"] = model.output_weight.detach()
        tensors["embedding.weight"] = tensors["embedding.weight"] * config.d_model**0.5
    if config.attention_scaled != attention_scaled:
        _scale_queries(config, tensors, config.head_dim ** (0.5 if attention_scaled else -0.5))
    return folded_config(config, attention_scaled), tensors


def _scale_queries(config: ModelConfig, tensors: Tensors, factor: float) -> None:
    """Multiply the queries by a factor: exact if it is a power of 2, otherwise within a rounding."""
    for i in range(config.n_layers):
        prefix = f"blocks.{i}.attention"
        if config.qk_norm:  # would undo a scale before it
            tensors[f"{prefix}.q_norm.weight"] = tensors[f"{prefix}.q_norm.weight"] * factor
            continue
        for name in (f"{prefix}.qkv.weight", f"{prefix}.qkv.bias"):
            if name in tensors:
                scaled = tensors[name].clone()
                scaled[: config.n_heads * config.head_dim] *= factor
                tensors[name] = scaled
