"""Which keys each token may attend to: one function for training, caches, left padding, inspection and export."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from talewright.model.kv_cache import KVCache


class AttentionMetadata(NamedTuple):
    """Positions and masks of one forward pass: computed once, used by every layer."""

    positions: Tensor
    """Position ids: (T,), or (B, T) where rows differ."""
    masks: dict[int | None, Tensor | None]
    """By window (None: global), the keys that may be attended to: a bool mask that broadcasts to (B, H, T, S), or None
    where none is needed."""
    causal: bool
    """Where there is no mask: whether a token attends only to those before it, or to all keys (one new token)."""
    stop: int
    """Number of keys, S."""
    own_keys: bool
    """Whether the keys are those of the T tokens themselves: no cache, no padding."""
    rotation: Tensor | None = None
    """Rotary cosines and sines of the positions."""
    first_values: Tensor | None = None
    """The first layer's values (B, K, T, d), where later layers mix them with their own."""
    real: Tensor | None = None
    """(B, T, 1): 0 at padding among the new tokens; None where there is none."""


def attention_metadata(
    windows: set[int | None],
    tokens: Tensor,
    cache: KVCache | None = None,
    padding_mask: Tensor | None = None,
    positions: Tensor | None = None,
) -> AttentionMetadata:
    """The metadata, without rotation, of `tokens` (B, T), which come after those in the cache.

    padding_mask (B, S) is 0 at padding, cached tokens included. No token attends to padding, except that every token
    attends to itself, so that its softmax has something to sum. positions: (T,) or (B, T); counted from 0 unless given.
    """
    T, start = tokens.shape[1], 0 if cache is None else cache.longest
    stop = start + T
    if cache is None or cache.even:
        slots = torch.arange(start, stop, device=tokens.device)  # the key of each token, among 0..S-1
    else:
        slots = cache.lengths[:, None] + torch.arange(T, device=tokens.device)  # (B, T)
    # Without a mask: the kernel's own causal mask is right, or no key is hidden.
    plain = padding_mask is None and slots.dim() == 1 and (start == 0 or T == 1)
    masks: dict[int | None, Tensor | None] = {}
    for window in windows:
        needed = not plain or (window is not None and window < stop)
        masks[window] = visible_keys(slots, stop, window, padding_mask) if needed else None
    return AttentionMetadata(
        positions=slots if positions is None else positions,
        masks=masks,
        causal=plain and start == 0,
        stop=stop,
        own_keys=cache is None and padding_mask is None,
        real=None if padding_mask is None else padding_mask[:, start:stop, None] != 0,
    )


def visible_keys(slots: Tensor, stop: int, window: int | None, padding_mask: Tensor | None = None) -> Tensor:
    """Which of the keys 0..stop-1 the tokens in `slots`, (T,) or (B, T), attend to: (T, S) or (B, 1, T, S), bool."""
    keys, here = torch.arange(stop, device=slots.device), slots[..., None]
    visible = keys <= here
    if window is not None:
        visible &= keys > here - window  # the window counts the token itself
    if padding_mask is not None:
        visible = visible & (padding_mask[:, None] != 0) | (keys == here)  # (B, T, S)
    return visible if visible.dim() == 2 else visible[:, None]
