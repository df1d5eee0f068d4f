"""Cross-entropy: how surprised the model is by the token that came."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a place that is not scored (padding)."""


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over the real targets of -log softmax(hidden @ weight^T)[target], in nats: a float32 scalar.

    hidden (B, T, D) is the last norm's output, weight (V, D) the output layer, targets (B, T) with IGNORED at padding.
    """
    logits = F.linear(hidden, weight).flatten(0, -2)  # (B T, V)
    return F.cross_entropy(logits.float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def token_scores(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each place (B, T): its negative log-likelihood in nats (0 at padding), and whether it was the likeliest."""
    losses, hits = [], []
    for h, t in zip(hidden, targets, strict=True):  # a row at a time: all logits at once would not fit
        logits = F.linear(h, weight).float()  # (T, V)
        losses.append(F.cross_entropy(logits, t, ignore_index=IGNORED, reduction="none"))
        hits.append(logits.argmax(-1) == t)
    return torch.stack(losses), torch.stack(hits)
