"""Positions that need no training: sinusoids added to the embedding, and rotations of queries and keys.

(Learned positions are an embedding like that of the tokens; see `gpt.py`.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    """PE(p, 2i) = sin(p / base^(2i/d)), PE(p, 2i+1) = cos(...): (length, d_model), float32.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """
    angles = _angles(length, d_model, base)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)  # sines and cosines take turns


def rotations(length: int, head_dim: int, base: float = 10000.0) -> Tensor:
    """Cosines and sines of the rotary angles, (2, length, head_dim), float32. Su et al. 2021, arXiv:2104.09864.

    The halves of a head's vector are the two coordinates that are turned (Llama's layout), so each angle stands twice.
    """
    angles = _angles(length, head_dim, base).repeat(1, 2)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn queries or keys x (B, H, T, d) by their positions' `rotation` (2, T, d), or (2, B, 1, T, d)."""
    first, second = x.chunk(2, -1)
    return (x * rotation[0] + torch.cat((-second, first), -1) * rotation[1]).type_as(x)


def _angles(length: int, d: int, base: float) -> Tensor:
    frequencies = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies).float()  # (length, d / 2)
