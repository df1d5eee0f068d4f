"""Dropout, with random numbers that a processor can afford."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """x with each value zeroed with probability `rate` while training, and the rest scaled to keep the mean.

    Srivastava et al. 2014, JMLR 15. On a processor torch draws one number a value, one after another, which takes
    longer than the rest of a small model: here four values share the 64 bits of one draw, so the rate is rounded to a
    65,536th, and the scale is that of the rounded rate.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    dropped = min(max(1, round(rate * 2**16)), 2**16 - 1)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
    return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))
