"""Keys and values of the tokens already read, kept so that generation computes each token once."""

from __future__ import annotations

import torch
from torch import Tensor

from talewright.config import ModelConfig


class LayerCache:
    """One layer's keys and values: (B, n_kv_heads, S, head_dim) each, S being the room."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        """Store k and v (B, K, T, d) at `positions` (B, T); return all that is stored below `stop`."""
        rows = torch.arange(k.shape[0], device=k.device)[:, None]  # (B, 1)
        self.keys[rows, :, positions] = k.transpose(1, 2).to(self.keys.dtype)
        self.values[rows, :, positions] = v.transpose(1, 2).to(self.values.dtype)
        return self.keys[:, :, :stop], self.values[:, :, :stop]


class KVCache:
    """Every layer's keys and values for a batch of rows, which may hold different numbers of tokens.

    Rows of unequal prompts are padded on the right: what padding wrote lies beyond the row's `lengths`, is never
    looked at, and is overwritten by the row's next tokens.
    """

    def __init__(self, config: ModelConfig, batch: int, room: int, like: Tensor) -> None:
        """Room for `room` tokens in each of `batch` rows, on the device and in the dtype of `like`."""
        shape = (batch, config.kv_heads, room, config.head_dim)
        self.layers = [LayerCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(config.n_layers)]
        self.lengths = torch.zeros(batch, dtype=torch.long, device=like.device)  # tokens held by each row
        self.longest = 0  # the largest of them, on the host: reading the tensor would wait for the device

    def advance(self, count: int) -> None:
        """Count `count` more tokens in every row."""
        self.lengths += count
        self.longest += count

    def set_lengths(self, lengths: Tensor) -> None:
        """Say how many tokens each row (B,) really holds, after unequal prompts were read with padding."""
        self.lengths = lengths.to(self.lengths)
        self.longest = int(lengths.max())

    def select(self, rows: Tensor) -> None:
        """Keep only these rows: the stories that have not ended."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        self.lengths = self.lengths[rows]
        self.longest = int(self.lengths.max()) if len(self.lengths) else 0
