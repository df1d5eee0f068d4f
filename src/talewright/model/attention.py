"""Causal self-attention: each token gathers from itself and the tokens before it (Vaswani et al. 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.model.dropout import dropout as drop
from talewright.model.kv_cache import KVCache, LayerCache
from talewright.model.norm import RMSNorm
from talewright.model.positions import rotate


class Placement(NamedTuple):
    """Where the tokens of a forward pass stand and what each may see: computed once, used by every layer."""

    positions: Tensor
    """(T,); (B, T) where the rows of a cache hold different numbers of tokens."""
    rotation: Tensor | None
    """Rotary cosines and sines of these positions."""
    masks: dict[int | None, Tensor | None]
    """By window (None: global), what may be seen: a bool mask that broadcasts to (B, H, T, S); None: no mask needed."""
    causal: bool
    """Where there is no mask: whether a token sees only those before it, or all keys (one new token, one row)."""
    stop: int
    """Number of keys, S."""


def place(windows: set[int | None], T: int, cache: KVCache | None, device: torch.device) -> Placement:
    """The placement of T new tokens after those in the cache (none: from position 0), without rotation."""
    start = 0 if cache is None else cache.longest
    stop = start + T
    if cache is None or cache.even:  # one row of positions serves all
        positions = torch.arange(start, stop, device=device)
        plain = start == 0 or T == 1  # the kernel's own causal mask is right, or no key is hidden
    else:
        positions = cache.lengths[:, None] + torch.arange(T, device=device)  # (B, T)
        plain = False
    masks = {w: None if plain and (w is None or w >= stop) else _visible(positions, stop, w) for w in windows}
    return Placement(positions, None, masks, causal=start == 0, stop=stop)


def _visible(positions: Tensor, stop: int, window: int | None) -> Tensor:
    """What tokens at `positions` (T,) or (B, T) see of keys 0..stop-1: (T, S) or (B, 1, T, S), bool."""
    keys, here = torch.arange(stop, device=positions.device), positions[..., None]
    seen = keys <= here
    if window is not None:
        seen &= keys > here - window  # the window counts the token itself
    return seen if positions.dim() == 1 else seen[:, None]


def attention_scores(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """q k^T * scale, written out, and -inf where a key may not be seen: (B, H, T, S). Their softmax are the weights.

    Training never holds them: they are for who wants to look (`talewright.inspect.record`).
    """
    if mask is None and causal:
        mask = _visible(torch.arange(q.shape[2], device=q.device), k.shape[2], None)
    groups = q.shape[1] // k.shape[1]  # query heads that share a head of keys and values
    scores = q @ k.repeat_interleave(groups, 1).mT * scale
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))


def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int | None, scale: float, dropout: float, block: int = 128
) -> Tensor:
    """The same for training on a CPU, a block of queries at a time, without keeping weights: (B, H, T, d).

    A block reads only the keys that its mask can show, those up to its own end and, for a local window, none before
    its beginning: half the work of the full square. torch's fused kernel makes its products in slices too small for a
    CPU's bfloat16 units, in the backward pass above all.
    """
    B, H, T, d = q.shape
    groups = H // k.shape[1]
    q, k, v = (x.reshape(B * H, T, d) for x in (q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)))
    here, out = torch.arange(T, device=q.device), []
    with torch.autocast(q.device.type, enabled=False):  # it would widen the scores; softmax adds in float32 anyway
        for start in range(0, T, block):
            stop = min(start + block, T)
            first = 0 if window is None else max(0, start - window + 1)
            hidden = ~_visible(here[start:stop], T, window)[:, first:stop]  # (block, keys)
            mask = q.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
            scores = torch.baddbmm(mask, q[:, start:stop], k[:, first:stop].mT, alpha=scale)  # mask + scale * q k^T
            out.append(drop(scores.softmax(-1), dropout) @ v[:, first:stop])
    return torch.cat(out, 1).view(B, H, T, d)


class Attention(nn.Module):
    """Multi-head causal self-attention, global or over a local window, with grouped heads of keys and values
    (Ainslie et al. 2023, arXiv:2305.13245) and, where the recipe says so, normalised queries and keys.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.n_heads, self.kv_heads, self.head_dim = config.n_heads, config.kv_heads, config.head_dim
        self.window = config.layer_window(layer)
        self.scale = self.head_dim**-0.5 if config.attention_scaled else 1.0
        self.dropout = config.dropout if "attention" in config.dropout_sites else 0.0
        heads = self.n_heads + 2 * self.kv_heads  # queries, keys and values in one matrix product
        self.qkv = nn.Linear(config.d_model, heads * self.head_dim, bias="qkv" in config.bias)
        self.out = nn.Linear(config.d_model, config.d_model, bias="out" in config.bias)
        self.q_norm = RMSNorm(self.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor, place: Placement, cache: LayerCache | None = None) -> Tensor:  # (B, T, D)
        q, k, v = self.project(x, place)
        if cache is not None:
            k, v = cache.append(k, v, place.positions, place.stop)
        dropout = self.dropout if self.training else 0.0
        if cache is None and q.device.type == "cpu":
            y = blocked_attention(q, k, v, self.window, self.scale, dropout)
        else:
            y = self.fused(q, k, v, place, dropout)
        return self.out(y.transpose(1, 2).flatten(2))

    def fused(self, q: Tensor, k: Tensor, v: Tensor, place: Placement, dropout: float) -> Tensor:
        """torch's own kernel, for a GPU and for reading from a cache: (B, H, T, d)."""
        mask = place.masks[self.window]
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            is_causal=mask is None and place.causal,
            dropout_p=dropout,
            scale=self.scale,
            enable_gqa=self.n_heads != self.kv_heads,
        )

    def project(self, x: Tensor, place: Placement) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, d), keys and values (B, K, T, d)."""
        heads = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H + 2K, T, d)
        q, k, v = heads.split((self.n_heads, self.kv_heads, self.kv_heads), 1)
        q, k = self.q_norm(q), self.k_norm(k)
        if place.rotation is not None:
            q, k = rotate(q, place.rotation), rotate(k, place.rotation)
        return q, k, v
