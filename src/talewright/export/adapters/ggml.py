"""llama.cpp's tensor names; llama2.c's model.bin holds the same tensors as llama.cpp's Llama."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from talewright.config import ModelConfig
from talewright.export.adapters.tensor_map import TensorMap, Tensors

if TYPE_CHECKING:
    from torch import Tensor

MODULES = {
    "embedding": "token_embd",
    "positions": "position_embd",
    "norm": "output_norm",
    "head": "output",
    "norm1": "blk.{i}.attn_norm",
    "attention.qkv": "blk.{i}.attn_qkv",
    "attention.out": "blk.{i}.attn_output",
    "attention.q_norm": "blk.{i}.attn_q_norm",
    "attention.k_norm": "blk.{i}.attn_k_norm",
    "norm2": "blk.{i}.ffn_norm",
    "mlp.up": "blk.{i}.ffn_up",
    "mlp.down": "blk.{i}.ffn_down",
}
SPLIT = {
    "attention.qkv": tuple(f"blk.{{i}}.attn_{each}" for each in "qkv"),
    "mlp.up": ("blk.{i}.ffn_gate", "blk.{i}.ffn_up"),
}
GPT2_MAP = TensorMap(MODULES)
LLAMA_MAP = TensorMap({**MODULES, **SPLIT})


def export_ggml(config: ModelConfig, ours: Mapping[str, Tensor], architecture: str) -> Tensors:
    """A folded model's tensors as llama.cpp's gpt2, llama or qwen3 has them."""
    if architecture == "gpt2":  # has all biases
        return GPT2_MAP.export_tensors(dataclasses.replace(config, bias=("qkv", "out", "mlp")), ours)
    tensors = LLAMA_MAP.export_tensors(config, ours)
    if architecture == "llama":
        tensors |= {name: interleave(tensors[name], config.head_dim) for name in tensors if _is_rotated(name)}
    return tensors


def import_llama(config: ModelConfig, foreign: Mapping[str, Tensor]) -> Tensors:
    """Our tensors from those of llama.cpp's llama."""
    halves = {name: split_halves(foreign[name], config.head_dim) for name in foreign if _is_rotated(name)}
    return LLAMA_MAP.import_tensors(config, {**foreign, **halves})


def interleave(rows: Tensor, head_dim: int) -> Tensor:
    """Reorder rows of queries or keys (n_heads * d, ...) for interleaved rotary positions.

    The first Llama rotates neighbors (0 with 1, 2 with 3); ours rotates half-split pairs (0 with d/2, 1 with d/2 + 1).
    """
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)


def split_halves(rows: Tensor, head_dim: int) -> Tensor:
    """The inverse of `interleave`."""
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def _is_rotated(name: str) -> bool:
    return ".attn_q." in name or ".attn_k." in name
