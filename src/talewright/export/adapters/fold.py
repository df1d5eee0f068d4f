"""Models that compute the same as ours with fewer kinds of parts: what is fixed is folded into the weights.

So a class without sinusoids, without a scaled embedding, or with another scale of attention scores can hold them.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import GPT

Tensors = dict[str, Tensor]


def fold_embedding(model: GPT) -> tuple[ModelConfig, Tensors]:
    """The model with learned positions for sinusoids, and the embedding's scale in its weights.

    A tied output layer does not take that scale: it then has weights of its own.
    """
    config, tensors = model.config, dict(model.state_dict())
    if config.positions == "sinusoidal":
        tensors["positions.weight"] = model.table
        config = dataclasses.replace(config, positions="learned")
    if config.embedding_scaled:
        tensors["head.weight"] = model.output_weight.detach()
        tensors["embedding.weight"] = tensors["embedding.weight"] * config.d_model**0.5
        config = dataclasses.replace(config, embedding_scaled=False, tied=False)
    return config, tensors


def fold_scale(config: ModelConfig, tensors: Tensors, scaled: bool) -> tuple[ModelConfig, Tensors]:
    """The model whose attention scores are divided by sqrt(head width), or are not: the difference goes into the
    queries. Exact where that root is a power of 2, else to within a rounding.
    """
    if config.attention_scaled == scaled:
        return config, tensors
    factor = config.head_dim ** (0.5 if scaled else -0.5)
    tensors = dict(tensors)
    for i in range(config.n_layers):
        name = f"blocks.{i}.attention"
        if config.qk_norm:  # it would undo a scale that came before it
            tensors[f"{name}.q_norm.weight"] = tensors[f"{name}.q_norm.weight"] * factor
            continue
        for each in (f"{name}.qkv.weight", f"{name}.qkv.bias"):
            if each in tensors:
                folded = tensors[each].clone()
                folded[: config.n_heads * config.head_dim] *= factor
                tensors[each] = folded
    return dataclasses.replace(config, attention_scaled=scaled), tensors
