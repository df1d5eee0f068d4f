"""The model classes of other programs that compute the same as some of our models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from talewright.config import ModelConfig
from talewright.export.adapters.base import Adapter
from talewright.export.adapters.fold import fold, folded_config
from talewright.export.adapters.gpt import GPT2Adapter, GPTNeoAdapter, NanoGPTAdapter
from talewright.export.adapters.llama import LlamaAdapter, Qwen3Adapter
from talewright.export.adapters.native import NativeAdapter
from talewright.export.adapters.raschka import RaschkaAdapter
from talewright.export.adapters.tensor_map import Tensors

if TYPE_CHECKING:
    from talewright.model.gpt import GPT

PUBLISHED: tuple[Adapter, ...] = (GPT2Adapter(), GPTNeoAdapter(), LlamaAdapter(), Qwen3Adapter())
"""The classes that transformers has."""
READABLE: tuple[Adapter, ...] = (*PUBLISHED, NanoGPTAdapter(), RaschkaAdapter(), NativeAdapter())


def choose_adapter(config: ModelConfig) -> tuple[Adapter | None, str]:
    """The class that computes a model of that shape, or None and the reason.

    A class that scales the attention scores as the model does comes before one that needs the scale folded in.
    """
    for scaled in (config.attention_scaled, not config.attention_scaled):
        for adapter in PUBLISHED:
            if adapter.unsupported_reason(folded_config(config, scaled)) is None:
                return adapter, ""
    nearest = GPT2Adapter() if config.norm == "layernorm" else Qwen3Adapter() if config.qk_norm else LlamaAdapter()
    return None, str(nearest.unsupported_reason(folded_config(config, attention_scaled=True)))


def adapt(model: GPT, adapter: Adapter) -> tuple[ModelConfig, Tensors]:
    """Our model as that class holds it: its shape after folding, and the tensors by the class's names."""
    scaled = folded_config(model.config, attention_scaled=True)
    config, tensors = fold(model, attention_scaled=adapter.unsupported_reason(scaled) is None)
    return config, adapter.export_tensors(config, tensors)
