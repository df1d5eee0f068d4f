"""Cross-entropy: how surprised the model is by the token that came."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a place that is not scored (padding)."""
LOGITS_AT_ONCE = 1 << 22
"""Logits that `token_scores` holds: 16 MiB in float32, whose memory is soon used again."""


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over the real targets of -log softmax(hidden @ weight^T)[target], in nats: a float32 scalar.

    hidden (B, T, D) is the last norm's output, weight (V, D) the output layer, targets (B, T) with IGNORED at padding.
    """
    logits = F.linear(hidden, weight).flatten(0, -2)  # (B T, V)
    return F.cross_entropy(logits.float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def token_scores(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each place (B, T): its negative log-likelihood in nats (0 at padding), and whether it was the likeliest
    (False at padding). Padding is not computed, and all logits are never held at once.
    """
    real = targets != IGNORED
    rows = max(1, LOGITS_AT_ONCE // len(weight))
    losses, hits = [], []
    for h, t in zip(hidden[real].split(rows), targets[real].split(rows), strict=True):
        logits = F.linear(h, weight).float()  # (rows, V)
        losses.append(F.cross_entropy(logits, t, reduction="none"))
        hits.append(likeliest(logits) == t)
    scores = torch.zeros(targets.shape, device=targets.device).masked_scatter(real, torch.cat(losses))
    return scores, torch.zeros_like(real).masked_scatter(real, torch.cat(hits))


def likeliest(logits: Tensor) -> Tensor:
    """The first of the likeliest tokens of each row (B, V) of logits: (B,)."""
    if logits.device.type == "cpu":  # numpy's runs six to twelve times as fast as torch's here
        return torch.from_numpy(logits.detach().numpy().argmax(-1))
    return logits.argmax(-1)
