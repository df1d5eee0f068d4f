"""Cross-entropy: how surprised the model is by the token that came."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a place that is not scored (padding)."""
LOGITS_AT_ONCE = 1 << 22
ROWS_AT_ONCE = 512
"""Logits that `token_scores` holds: 16 MiB in float32, whose memory is soon used again; but for a large vocabulary at
least so many rows, because each slice reads all of the output layer."""
SLICE = 1 << 25
"""Logits that training holds: 64 MiB in bfloat16. The fewer slices, the fewer sums of the output layer's gradient."""


class Taught(NamedTuple):
    """What a teacher makes of the same tokens, and its share of the loss (Hinton et al. 2015, arXiv:1503.02531)."""

    hidden: Tensor
    """What its output layer reads: (B, T, E), of a width of its own."""
    weight: Tensor
    """Its output layer: (V, E)."""
    share: float
    """From 0 to 1."""


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, taught: Taught | None = None) -> Tensor:
    """Sum over the real targets of -log softmax(logits)[target], in nats: a float32 scalar.

    hidden (B, T, D) is the last norm's output, weight (V, D) the output layer, targets (B, T) with IGNORED at padding;
    the logits are hidden @ weight^T. With a teacher it gives two values, (2,): the loss, in which its share has
    cross-entropy against the teacher's probabilities; and the sum above, which is only to be looked at.
    """
    hidden, targets = hidden.flatten(0, -2), targets.flatten()
    if taught is not None:
        taught = taught._replace(hidden=taught.hidden.flatten(0, -2))
    real = targets != IGNORED
    if not real.all():
        hidden, targets = hidden[real], targets[real]  # padding is not even computed
        if taught is not None:
            taught = taught._replace(hidden=taught.hidden[real])
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        return cast(Tensor, _LinearCrossEntropy.apply(hidden, weight, targets, taught))


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy that never holds all the logits: (N, D), (V, D) and (N,) give their summed loss.

    A step needs of the logits only the loss and its gradients to the hidden states and the output layer. All three are
    had from one slice of rows; kept whole, the logits and what is derived from them are the largest tensors of a step
    by far. So the gradients are made in the forward pass, and scaled in the backward one.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, taught: Taught | None) -> Tensor:
        w = weight.to(hidden.dtype)
        further = torch.zeros((), device=hidden.device, dtype=weight.dtype)
        if taught is not None:
            taught = taught._replace(weight=taught.weight.to(hidden.dtype))
        loss = torch.zeros((), device=hidden.device, dtype=weight.dtype)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight)  # float32, also where the products are not: it is summed over slices
        rows = max(1, SLICE // len(weight))
        slices = zip(hidden.split(rows), targets.split(rows), d_hidden.split(rows), strict=True)
        for i, (h, t, d_h) in enumerate(slices):
            logits = F.linear(h, w)
            part, d_logits = softmax_gradient(logits, t)
            if taught is not None:
                further += blend(taught, taught.hidden[i * rows : (i + 1) * rows], logits, t, d_logits)
            loss += part
            torch.mm(d_logits, w, out=d_h)
            d_weight += d_logits.mT @ h
        ctx.save_for_backward(d_hidden, d_weight)
        return loss if taught is None else torch.stack((loss + further, loss))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        factor = upstream[0].flatten()[0]  # of the loss; what stands beside it has no gradient
        return d_hidden * factor, d_weight * factor, None, None


def softmax_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Summed -log softmax(logits)[target], and its gradient to the logits (R, V), softmax - one-hot, in their dtype.

    The softmax adds in float32 whatever the dtype. Rounded to bfloat16 it is off by a 512th of itself, far less than
    what the rounding of the logits has done to it.
    """
    p, rows = logits.softmax(-1), torch.arange(len(targets), device=targets.device)
    hit = p[rows, targets]  # not `gather`, which on a processor copies all of p first
    loss = -hit.to(torch.promote_types(p.dtype, torch.float32)).log()
    lost = hit < 2 * torch.finfo(p.dtype).tiny  # too unlikely for the dtype: from the logits themselves
    if lost.any():
        far = logits[lost].to(loss.dtype)
        loss[lost] = far.logsumexp(-1) - far.gather(-1, targets[lost, None]).squeeze(-1)
    p[rows, targets] = hit - 1
    return loss.sum(), p


def blend(taught: Taught, hidden: Tensor, logits: Tensor, targets: Tensor, d_logits: Tensor) -> Tensor:
    """Turn the gradient of -log p[target] to logits (R, V) into that of the loss with a teacher, who read `hidden`
    (R, E); by how much this loss is above the other, summed, is returned.

    Cross-entropy against q is -log p[target] + sum of q * (logits[target] - logits), as the sum of q is 1.
    """
    q = F.linear(hidden.to(logits.dtype), taught.weight).softmax(-1)
    rows = torch.arange(len(targets), device=targets.device)
    ahead = logits[rows, targets, None] - logits
    further = (q * ahead).sum(dtype=torch.promote_types(q.dtype, torch.float32))
    d_logits.sub_(q, alpha=taught.share)
    d_logits[rows, targets] += taught.share
    return taught.share * further


@torch.no_grad()
def token_scores(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each place (B, T): its negative log-likelihood in nats (0 at padding), and whether it was the likeliest
    (False at padding). Padding is not computed, and all logits are never held at once.
    """
    real = targets != IGNORED
    rows = max(ROWS_AT_ONCE, LOGITS_AT_ONCE // len(weight))
    if torch.is_autocast_enabled(hidden.device.type):
        weight = weight.to(torch.get_autocast_dtype(hidden.device.type))  # once, not in each slice
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
