"""Three ways to compute attention: torch's fused kernels, blocks for training on a CPU, and scores for inspection."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from talewright.model.dropout import dropout
from talewright.model.masks import visible_keys


def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int | None, scale: float, rate: float, block: int = 128
) -> Tensor:
    """Causal attention, one block of queries at a time; `rate` is the dropout of the weights: (B, H, T, d).

    A block reads only the keys that its mask can show: half the work of the full square, and less for a local window.
    torch's fused kernel splits its products into slices too small for a CPU's bfloat16 units, above all in the backward
    pass.
    """
    B, H, T, d = q.shape
    groups = H // k.shape[1]
    q, k, v = (x.reshape(B * H, T, d) for x in (q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)))
    slots, out, compiling = torch.arange(T, device=q.device), [], torch.compiler.is_compiling()
    # Autocast would widen the scores; softmax sums in float32 anyway. Compiled, it stays on: torch's cache of compiled
    # code does not take graphs that change it.
    blocks = [x.split(block, 1) for x in (k, v)]  # for some shapes, torch 2.13 makes NaN of the gradients of slices
    narrow = nullcontext() if compiling else torch.autocast(q.device.type, enabled=False)
    with narrow:
        for start, queries in zip(range(0, T, block), q.split(block, 1), strict=True):
            stop = min(start + block, T)
            first = 0 if window is None else max(0, start - window + 1)
            if compiling:
                first -= first % block
                keys, values = (torch.cat(x[first // block : start // block + 1], 1) for x in blocks)
            else:
                keys, values = k[:, first:stop], v[:, first:stop]
            hidden = ~visible_keys(slots[start:stop], T, window)[:, first:stop]  # (block, keys)
            mask = q.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
            scores = torch.baddbmm(mask, queries, keys.mT, alpha=scale)  # mask + scale * q k^T
            out.append(dropout(scores.softmax(-1, scores.dtype), rate) @ values)
    return torch.cat(out, 1).view(B, H, T, d)


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float, rate: float = 0.0
) -> Tensor:
    """softmax(scale * q k^T) v by torch's own kernels; `rate` is the dropout of the weights: (B, H, T, d).

    On Apple's GPU it is written out: there, several releases from torch 2.8 on have kernels that silently give wrong
    values for transposed queries or for a mask per row, and training with gradients had no fused kernel anyway.
    """
    groups = q.shape[1] // k.shape[1]
    if q.device.type == "mps":
        weights = attention_scores(q, k, mask, causal, scale).softmax(-1)
        return dropout(weights, rate) @ v.repeat_interleave(groups, 1)
    # On a GPU, FlashAttention reads shared heads itself, but takes no mask and only 16 bits, float16 only of newer
    # cards. torch's other fused kernel does not share heads before torch 2.10, and without one every score is held.
    if groups > 1 and q.device.type != "cpu" and (mask is not None or q.dtype != torch.bfloat16):
        k, v, groups = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1), 1
    return F.scaled_dot_product_attention(q, k, v, mask, rate, causal, scale=scale, enable_gqa=groups > 1)


def attention_scores(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """scale * q k^T, and -inf where a key may not be attended to: (B, H, T, S). Their softmax is the attention pattern.

    Training never holds them: they are for inspection (`talewright.inspect.record`) and for transformers' callers.
    """
    if mask is None and causal:
        mask = visible_keys(torch.arange(q.shape[2], device=q.device), k.shape[2], None)
    groups = q.shape[1] // k.shape[1]  # query heads that share a head of keys and values
    scores = q @ k.repeat_interleave(groups, 1).mT * scale
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))
