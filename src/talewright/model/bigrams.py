"""A vector for each pair of neighboring tokens, added to the embedding of the second."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.model.kv_cache import LayerCache
from talewright.model.masks import AttentionMetadata

GOLDEN = (5**0.5 - 1) / 2


class BigramEmbedding(nn.Module):
    """A table of `bigrams` rows; pairs share rows by a hash, and frequent pairs shape them (Huang et al. 2025,
    arXiv:2501.16975). Ids are counted from 1 here: 0 is nothing, as before the first token.

    The hash is the first id times the golden section of the rows, plus the second (Knuth, The Art of Computer
    Programming, 6.4): pairs whose ids are near each other, as those of frequent tokens are, never share a row.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.bigrams, config.d_model))
        self.factor = round(config.bigrams * GOLDEN)
        self.sparse = False
        """Whether the gradient holds only the rows that were read."""

    def forward(self, tokens: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:
        """(B, T, D) for tokens (B, T), each with the one before it."""
        ids = tokens + 1
        if metadata.real is not None:
            ids = ids * metadata.real[..., 0]  # padding is nothing
        if cache is None:
            return self.rows(F.pad(ids, (1, 0))[:, :-1], ids)
        return self.cached(ids, cache, metadata.positions, metadata.stop)

    def cached(self, ids: Tensor, cache: LayerCache, positions: Tensor, stop: int) -> Tensor:
        """The same for ids (B, T) at `positions`, which come after those in the cache."""
        seen = cache.extend(0, ids[..., None].float(), positions, stop)[..., 0].long()  # floats: exact below 2^24
        return self.rows(seen[:, -ids.shape[1] - 1 : -1], ids)

    def rows(self, before: Tensor, ids: Tensor) -> Tensor:
        """The vectors of pairs."""
        return F.embedding((before * self.factor + ids) % len(self.weight), self.weight, sparse=self.sparse)
