"""Keys and values of the tokens already read, kept so that generation computes each token once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from talewright.config import ModelConfig
from talewright.config.model import REACH


class LayerCache:
    """One layer's keys and values, (B, n_kv_heads, S, head_dim) each, S being the capacity; and the inputs of its short
    convolutions, (B, 1, S, W) each. That of a bigram embedding holds ids alone, (B, 1, S, 1).
    """

    def __init__(self, *storage: Tensor) -> None:
        self.storage = storage  # with rows to spare
        self.kept = storage

    @property
    def keys(self) -> Tensor:
        return self.kept[0]

    @property
    def values(self) -> Tensor:
        return self.kept[1]

    def use(self, rows: int) -> None:
        """Use that many rows of the storage."""
        self.kept = tuple(kept[:rows] for kept in self.storage)

    def reserve(self, rows: int, capacity: int) -> None:
        """Larger storage, which holds what the rows in use hold."""
        used, held = self.keys.shape[0], self.keys.shape[2]
        larger = [kept.new_zeros(rows, kept.shape[1], capacity, kept.shape[3]) for kept in self.storage]
        for new, old in zip(larger, self.kept, strict=True):
            new[:used, :, :held] = old
        self.storage = tuple(larger)
        self.use(used)

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        """Store k and v (B, K, T, d) at `positions` (T,) or (B, T); return all that is stored below `stop`.

        Raises ValueError if they do not fit.
        """
        return self._store(0, k, positions, stop), self._store(1, v, positions, stop)

    def extend(self, number: int, x: Tensor, positions: Tensor, stop: int) -> Tensor:
        """Store inputs x (B, T, W) in the storage of that number at `positions`; return them after those of the REACH
        positions before, zeros where there are none: (B, REACH + T, W).
        """
        stored, T = self._store(number, x[:, None], positions, stop)[:, 0], x.shape[1]
        if positions.dim() == 1:
            before = min(REACH, stop - T)
            return F.pad(stored[:, stop - T - before :], (0, 0, REACH - before, 0))
        places = positions[:, :1] + torch.arange(-REACH, T, device=x.device)  # (B, REACH + T)
        rows = torch.arange(len(x), device=x.device)[:, None]
        return stored[rows, places.clamp(min=0)] * (places >= 0)[..., None]

    def _store(self, number: int, x: Tensor, positions: Tensor, stop: int) -> Tensor:
        kept = self.kept[number]
        if stop > kept.shape[2]:
            raise ValueError(f"{stop} tokens do not fit into a cache of {kept.shape[2]}")
        kept = kept[:, :, :stop]
        if positions.dim() == 1:  # the same positions in every row: a copy, several times faster
            kept[:, :, -len(positions) :] = x
        else:
            rows = torch.arange(len(x), device=x.device)[:, None]  # (B, 1)
            kept[rows, :, positions] = x.transpose(1, 2).to(kept.dtype)
        return kept

    def put(self, k: Tensor, v: Tensor, position: int | Tensor) -> None:
        """Store one token's k and v (B, K, d): at one position, or in each row at its own (B,)."""
        if isinstance(position, int):
            self.keys[:, :, position] = k
            self.values[:, :, position] = v
        else:
            rows = torch.arange(len(k), device=k.device)
            self.keys[rows, :, position] = k.to(self.keys.dtype)
            self.values[rows, :, position] = v.to(self.values.dtype)


class KVCache:
    """Every layer's keys and values for a batch of rows, which may hold different numbers of tokens. A bigram embedding
    keeps ids in one further layer, at the end.

    Rows of unequal prompts are padded on the right: what padding wrote lies beyond the row's `lengths`, is never
    attended to, and is overwritten by the row's next tokens.
    """

    def __init__(self, layers: Sequence[LayerCache], lengths: Tensor, longest: int = 0) -> None:
        self.layers, self.lengths = layers, lengths  # lengths (B,): tokens held by each row
        # Kept on the host, because reading a tensor would wait for the device:
        self.longest = longest  # the largest of the lengths
        self.even = True  # whether they are all equal

    @classmethod
    def empty(cls, config: ModelConfig, batch: int, capacity: int, like: Tensor) -> KVCache:
        """A cache for `capacity` tokens in each of `batch` rows, on the device and in the dtype of `like`."""
        sizes = [(config.kv_heads, config.head_dim)] * 2 + [(1, width) for width in config.convolution_widths]
        shapes = [(batch, heads, capacity, width) for heads, width in sizes]
        layers = [LayerCache(*map(like.new_zeros, shapes)) for _ in range(config.n_layers)]
        if config.bigrams:  # float32 holds ids up to 2^24 exactly
            layers.append(LayerCache(like.new_zeros(batch, 1, capacity, 1, dtype=torch.float32)))
        return cls(layers, torch.zeros(batch, dtype=torch.long, device=like.device))

    @property
    def capacity(self) -> int:
        """The most tokens that a row can hold."""
        return self.layers[0].keys.shape[2]

    def reserve(self, rows: int, capacity: int) -> None:
        """Room for that many rows of that many tokens; what is held stays."""
        for layer in self.layers:
            layer.reserve(rows, capacity)

    def join(self, other: KVCache, most: int) -> None:
        """Append the rows of `other`. The storage doubles where it lacks room, up to `most` rows."""
        held, rows, room = len(self.lengths), len(self.lengths) + len(other.lengths), len(self.layers[0].storage[0])
        if rows > room or other.longest > self.capacity:
            more = max(rows, min(2 * room, most)) if rows > room else room
            self.reserve(more, max(self.capacity, other.longest))
        for layer, new in zip(self.layers, other.layers, strict=True):
            layer.use(rows)
            for kept, added in zip(layer.kept, new.kept, strict=True):
                kept[held:, :, : other.longest] = added[:, :, : other.longest]
        self.set_lengths(torch.cat((self.lengths, other.lengths)))

    def advance(self, count: int) -> None:
        """Count `count` more tokens in every row; a negative count forgets the newest."""
        self.lengths = self.lengths + count  # not in place: the tensor may be a caller's
        self.longest += count

    def set_lengths(self, lengths: Tensor) -> None:
        """Set how many tokens each row (B,) really holds, after unequal prompts were read with padding."""
        self.lengths = lengths.to(self.lengths)
        low, high = (int(n) for n in self.lengths.aminmax()) if len(lengths) else (0, 0)
        self.longest, self.even = high, low == high

    def select(self, rows: Tensor) -> None:
        """Keep only these rows (no more than there are), in this order: the samples that have not ended.

        A row that stays where it is costs nothing, so to drop one, move the last row there.
        """
        count, longest = len(rows), self.longest
        moved = (rows != torch.arange(count, device=rows.device)).nonzero()[:, 0]
        for layer in self.layers:
            for kept in layer.kept:
                kept[moved, :, :longest] = kept[rows[moved], :, :longest]
            layer.use(count)
        self.set_lengths(self.lengths[rows])

    def replace(self, rows: Tensor, other: KVCache) -> None:
        """Let these rows (n,) hold what the n rows of `other` hold: samples that were read again from a later start."""
        for layer, new in zip(self.layers, other.layers, strict=True):
            for kept, read in zip(layer.kept, new.kept, strict=True):
                kept[rows, :, : other.longest] = read[:, :, : other.longest]
        self.set_lengths(self.lengths.index_copy(0, rows, other.lengths))
