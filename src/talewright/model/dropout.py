"""Dropout, with random numbers that a processor can afford."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """x with each value zeroed with probability `rate` while training, and the rest scaled to keep the mean.

    Srivastava et al. 2014, JMLR 15. On a CPU torch draws one number a value, one after another, which takes as long as
    the rest of a small model. Here many values share a draw. The rate is rounded to a 65,536th, and the scale is that
    of the rounded rate.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    dropped = min(max(1, round(rate * 2**16)), 2**16 - 1)
    numbers = _hashed if torch.compiler.is_compiling() else _drawn
    return x * numbers(x, dropped - 2**15) * (2**16 / (2**16 - dropped))


def _drawn(x: Tensor, threshold: int) -> Tensor:
    """1 where a random number in [-2^15, 2^15) is at least `threshold`, else 0: in the shape and dtype of x.

    A fast generator is seeded by torch's, and four values share the 64 bits of one draw.
    """
    seed = int(torch.randint(2**62, ()))
    bits = torch.from_numpy(np.random.SFC64(seed).random_raw((x.numel() + 3) // 4).view(np.int16))
    # compared in place, as integers: torch makes and reads bool tensors several times as slowly
    return bits[: x.numel()].view(x.shape).ge_(threshold).to(x.dtype)


def _hashed(x: Tensor, threshold: int) -> Tensor:
    """The same, from a hash of the value's place (the mixing steps of MurmurHash3) and a random number a column.

    torch.compile makes it part of the operations around it, and computes it again in the backward pass. A compiled
    comparison would be kept for that as a bool tensor, which is slow to write; the sign bit of a difference is not.
    """
    columns = torch.randint(-(2**31), 2**31 - 1, x.shape[-1:], dtype=torch.int32)
    rows = torch.arange(x.shape[:-1].numel(), dtype=torch.int32)[:, None]
    h = rows * -1640531535 + columns
    h = (h ^ (h >> 15)) * -2048144789
    h = (h ^ (h >> 13)) * -1028477387
    return (1 + (((h >> 16) - threshold) >> 31)).to(x.dtype).view(x.shape)
