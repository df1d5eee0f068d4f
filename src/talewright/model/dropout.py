"""Dropout, with random numbers that a processor can afford."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """x with each value zeroed with probability `rate` while training, and the rest scaled to keep the mean.

    Srivastava et al. 2014, JMLR 15. On a processor torch draws one number a value, one after another, which takes as
    long as the rest of a small model: here a fast generator is seeded by torch's, and four values share the 64 bits of
    one draw. So the rate is rounded to a 65,536th, and the scale is that of the rounded rate.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    dropped = min(max(1, round(rate * 2**16)), 2**16 - 1)
    seed = int(torch.randint(2**62, ()))
    bits = torch.from_numpy(np.random.SFC64(seed).random_raw((x.numel() + 3) // 4).view(np.int16))
    # compared in place, as integers: torch makes and reads bool tensors several times as slowly
    kept = bits[: x.numel()].view(x.shape).ge_(dropped - 2**15).to(x.dtype)
    return x * kept * (2**16 / (2**16 - dropped))
