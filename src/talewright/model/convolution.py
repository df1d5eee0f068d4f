"""A short causal convolution: what each position reads, plus a little of the three positions before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.config.model import REACH
from talewright.model.kv_cache import LayerCache
from talewright.model.masks import AttentionMetadata


class ShortConvolution(nn.Module):
    """x[t] + sum over i of weight[i] * x[t - REACH + i], channel by channel (Canon layers, Allen-Zhu 2025,
    arXiv:2512.17351).
    """

    def __init__(self, width: int, site: int) -> None:
        """site: which of the layer's convolutions it is; a cache keeps the inputs of each."""
        super().__init__()
        self.weight, self.site = nn.Parameter(torch.zeros(REACH + 1, width)), site

    def forward(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:  # (B, T, W)
        if metadata.real is not None:
            x = x * metadata.real.to(x.dtype)  # nothing comes from padding
        if cache is None:
            seen = F.pad(x, (0, 0, REACH, 0))
        else:
            seen = cache.extend(2 + self.site, x, metadata.positions, metadata.stop)
        weight = self.weight.to(x.dtype)
        return x + sum(seen[:, i : i + x.shape[1]] * weight[i] for i in range(REACH + 1))


def make_convolution(config: ModelConfig, width: int, site: int) -> ShortConvolution | None:
    """The convolution, if the recipe has them."""
    return ShortConvolution(width, site) if config.short_convolution else None
