"""The memory that a batch of texts may take, and that each of its rows does."""

from __future__ import annotations

import torch

from talewright.config import ModelConfig
from talewright.machine.limits import device_memory

BATCH_BYTES = 1 << 30
"""Memory that one batch may take, the forward pass over prompts included; on a GPU, half of what is free if that is
more."""
SLICE_ALONE = 4096
"""Tokens of prompts that are read in one step where no text waits for it."""


def batch_memory(device: torch.device) -> int:
    """Bytes that a batch may take there. While a cache grows, the smaller one is still held."""
    return max(BATCH_BYTES, (device_memory(device) or 0) // 2) if device.type == "cuda" else BATCH_BYTES


def row_bytes(config: ModelConfig, prompt: int, kept: int) -> int:
    """Bytes that a row takes at most: its cache of `kept` tokens, its prompt's, activations and logits."""
    width = 2 * config.kv_heads * config.head_dim + sum(config.convolution_widths)
    cache = config.n_layers * width * (kept + prompt)
    reading = min(SLICE_ALONE, max(prompt, config.context_length // 2 if kept == config.context_length else 0))
    activations = reading * (8 * config.d_model + 3 * config.d_ff)
    return 4 * (cache + activations + 4 * config.vocab_size)  # logits, and what sampling makes of them
