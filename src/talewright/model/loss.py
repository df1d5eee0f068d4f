"""Cross-entropy: the negative log-likelihood of the token that came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The target of a position that is not scored (padding)."""
LOGITS_AT_ONCE = 1 << 22
ROWS_AT_ONCE = 512
"""Logits that `token_scores` holds: 16 MiB in float32, whose memory is soon used again; but at least this many rows of
a large vocabulary, because each slice reads all of the output layer."""
COLUMNS_AT_ONCE = 1 << 10
"""Columns of these logits that a CPU computes at once: 2 MiB in float32 with 512 rows. On one thread three times
as fast as all columns at once, for 50,257 and bfloat16 products; on two threads 1.4 times for a whole model."""
SLICE = 1 << 25
"""Logits that training holds: 64 MiB in bfloat16. The fewer slices, the fewer sums of the output layer's gradient."""

SLICE_ON_GPU = 1 << 27
"""The same on a GPU, whose products are faster the larger they are: 512 MiB in float32."""
ALIGNED_ROWS = 64
"""On a GPU the output layer gets rows of zeros up to a multiple of this. With 50,257 rows, 16-bit products are those
of an older generation of cards: on an H200 half of a training step of 124M parameters."""

RealTargets = Tensor | slice | None
"""Which of the targets (B, T), numbered in a row, are real: their numbers, or `slice(None)` for all. None: not known; a
host that finds it out waits for the GPU."""

Adjustment = Callable[[slice, Tensor, Tensor, Tensor], Tensor]
"""Given which rows these are, their logits (R, V), targets (R,) and the gradient to the logits (R, V): changes the
gradient in place, and returns what it adds to the loss."""


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    adjustment: Adjustment | None = None,
    real: RealTargets = None,
) -> Tensor:
    """Sum over the real targets of -log softmax(logits)[target], in nats: a float32 scalar.

    hidden (B, T, D) is the last norm's output, weight (V, D) the output layer, targets (B, T) with IGNORED at padding;
    the logits are hidden @ weight^T. With an adjustment of the loss it returns two values, (2,): the adjusted loss, and
    the loss without it, which has no gradient. The rows that an adjustment sees are those of `without_padding`.
    """
    hidden, targets = without_padding(targets, hidden, targets, real=real)
    hidden = hidden.to(product_dtype(hidden))
    with torch.autocast(hidden.device.type, enabled=False):
        return cast(Tensor, _LinearCrossEntropy.apply(hidden, weight, targets, adjustment))


def without_padding(targets: Tensor, *values: Tensor, real: RealTargets = None) -> list[Tensor]:
    """The values (B, T, ...) at real targets (B, T): (N, ...) each. Padding is not even computed."""
    if real is None:
        found = (targets != IGNORED).flatten()
        real = slice(None) if found.all() else found.nonzero().squeeze(1)
    rows = [each.flatten(0, 1) for each in values]
    return rows if isinstance(real, slice) else [each.index_select(0, real) for each in rows]


def product_dtype(values: Tensor) -> torch.dtype:
    """The dtype of matrix products with these values: autocast's, where it is on."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy that never holds all the logits: (N, D), (V, D) and (N,) give their summed loss.

    A step needs of the logits only the loss and its gradients to the hidden states and the output layer. All three come
    from one slice of rows at a time; the whole logits and what is derived from them would be the largest tensors of a
    step by far. So the gradients are computed in the forward pass, and scaled in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, adjustment: Adjustment | None) -> Tensor:
        w, V = pad_vocabulary(weight.to(hidden.dtype)), len(weight)
        loss, added = (torch.zeros((), device=hidden.device, dtype=weight.dtype) for _ in range(2))
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight)  # float32, also where the products are not: it is summed over slices
        size = max(1, (SLICE if hidden.device.type == "cpu" else SLICE_ON_GPU) // len(weight))
        for start in range(0, len(hidden), size):
            rows = slice(start, start + size)
            logits = F.linear(hidden[rows], w)
            logits[:, V:] = -torch.inf
            part, d_logits = softmax_gradient(logits, targets[rows])
            if adjustment is not None:
                added += adjustment(rows, logits[:, :V], targets[rows], d_logits[:, :V])
            loss += part
            torch.mm(d_logits, w, out=d_hidden[rows])
            d_weight += (d_logits.mT @ hidden[rows])[:V]
        ctx.save_for_backward(d_hidden, d_weight)
        return loss if adjustment is None else torch.stack((loss + added, loss))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        factor = upstream[0].flatten()[0]  # of the loss; what stands beside it has no gradient
        return d_hidden * factor, d_weight * factor, None, None


def pad_vocabulary(weight: Tensor) -> Tensor:
    """The output layer (V, D), on a GPU with rows of zeros for tokens that there are not."""
    rows = 0 if weight.device.type == "cpu" else -len(weight) % ALIGNED_ROWS
    return F.pad(weight, (0, 0, 0, rows)) if rows else weight


def softmax_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Summed -log softmax(logits)[target], and its gradient to the logits (R, V), softmax - one-hot, in their dtype.

    The softmax sums in float32 whatever the dtype. Rounded to bfloat16 it is off by a 512th of itself, far less than
    what the rounding of the logits has done to it.
    """
    if logits.device.type != "cpu":
        return softmax_gradient_on_gpu(logits, targets)
    rows, p = torch.arange(len(targets)), logits.softmax(-1)
    chosen = p[rows, targets]  # not `gather`, which on a CPU copies all of p first
    loss = -chosen.to(torch.promote_types(p.dtype, torch.float32)).log()
    lost = chosen < 2 * torch.finfo(p.dtype).tiny  # too unlikely for the dtype: from the logits themselves
    if lost.any():
        far = logits[lost].to(loss.dtype)
        loss[lost] = far.logsumexp(-1) - far.gather(-1, targets[lost, None]).squeeze(-1)
    p[rows, targets] = chosen - 1
    return loss.sum(), p


def softmax_gradient_on_gpu(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same, without a decision that depends on values, for which the host would wait; and with few passes over the
    logits, which take longer than they compute.
    """
    p, wide = logits.softmax(-1), torch.promote_types(logits.dtype, torch.float32)
    log_sum = logits.amax(-1).to(wide) - p.amax(-1).to(wide).log()  # of the most probable token, which is never tiny
    own = logits.gather(-1, targets[:, None])[:, 0].to(wide)
    p.scatter_add_(-1, targets[:, None], p.new_full((len(targets), 1), -1))
    return (log_sum - own).sum(), p


@torch.no_grad()
def token_scores(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each position (B, T): its negative log-likelihood in nats (0 at padding), and whether the target was the
    argmax (False at padding). Padding is not computed, and all logits are never held at once.
    """
    real = targets != IGNORED
    rows = max(ROWS_AT_ONCE, LOGITS_AT_ONCE // len(weight))
    weight = weight.to(product_dtype(weight))  # once, not in each slice
    score = _score_rows if hidden.device.type == "cpu" else _score_whole_rows
    parts = zip(hidden[real].split(rows), targets[real].split(rows), strict=True)
    losses, correct = zip(*(score(h, weight, t) for h, t in parts), strict=True)
    scores = torch.zeros(targets.shape, device=targets.device).masked_scatter(real, torch.cat(losses))
    return scores, torch.zeros_like(real).masked_scatter(real, torch.cat(correct))


def _score_whole_rows(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`token_scores` of some rows (R, D), from all their logits (R, V)."""
    logits = F.linear(hidden, weight).float()
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets


def _score_rows(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same on a CPU: a block of the vocabulary at a time, whose logits stay in the processor's cache, and whose
    softmax is one kernel (blocks are joined as by Milakov & Gimelshein 2018, arXiv:1805.02867).
    """
    highest, log_sum, own = (torch.full((len(hidden),), value) for value in (-torch.inf, -torch.inf, 0.0))
    hit = torch.zeros(len(hidden), dtype=torch.bool)
    for start in range(0, len(weight), COLUMNS_AT_ONCE):
        block = weight[start : start + COLUMNS_AT_ONCE]
        logits = F.linear(hidden, block).float()  # (R, C)
        most = logits.amax(-1)
        hit &= most <= highest
        rows = ((targets >= start) & (targets < start + len(block))).nonzero()[:, 0]  # whose target is in the block
        column = targets[rows] - start
        own[rows] = logits[rows, column]
        hit[rows] = (most[rows] > highest[rows]) & (argmax(logits[rows]) == column)
        highest = torch.maximum(highest, most)
        log_sum = torch.logaddexp(log_sum, logits[:, 0] - logits.log_softmax(-1)[:, 0])
    return log_sum - own, hit


def argmax(logits: Tensor) -> Tensor:
    """The first of the most probable tokens of each row (B, V) of logits: (B,)."""
    if logits.device.type == "cpu":  # numpy's is six to twelve times as fast as torch's here
        return torch.from_numpy(logits.detach().numpy().argmax(-1))
    return logits.argmax(-1)
