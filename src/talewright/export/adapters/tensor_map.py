"""Which tensors of another program hold ours: a table that is read in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from talewright.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

Tensors = dict[str, "Tensor"]


class Entry(NamedTuple):
    """One of our tensors and the foreign tensors that hold it."""

    name: str
    shape: tuple[int, ...]
    foreign: tuple[str, ...]
    rows: tuple[int, ...]
    """Rows of each foreign tensor."""
    transposed: bool


@dataclass(frozen=True)
class TensorMap:
    """The names of another program's tensors.

    `modules` gives the foreign name of each of our modules, with {i} for the number of its block, or several names if
    the foreign model splits what ours stacks: queries, keys and values, or the two halves of SwiGLU.
    """

    modules: Mapping[str, str | tuple[str, ...]]
    transposed: bool = False
    """Whether the matrices of the blocks are stored as (in, out)."""
    norm_kinds: Mapping[str, str] = field(default_factory=dict)
    """Foreign names for the weight and bias of a norm."""

    def export_tensors(self, config: ModelConfig, ours: Mapping[str, Tensor]) -> Tensors:
        """Our tensors by their foreign names. A tensor that `config` has and `ours` lacks (a bias) is zeros."""
        import torch

        foreign = {}
        for entry in self._entries(config):
            tensor = ours[entry.name] if entry.name in ours else torch.zeros(entry.shape)
            for name, part in zip(entry.foreign, tensor.split(entry.rows), strict=True):
                foreign[name] = (part.T if entry.transposed else part).contiguous()
        return foreign

    def import_tensors(self, config: ModelConfig, foreign: Mapping[str, Tensor]) -> Tensors:
        """Foreign tensors, all of `shapes`, by our names."""
        import torch

        ours = {}
        for entry in self._entries(config):
            parts = [foreign[name].T if entry.transposed else foreign[name] for name in entry.foreign]
            ours[entry.name] = torch.cat(parts).contiguous()
        return ours

    def shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Name and shape of each foreign tensor of such a model."""
        shapes = {}
        for entry in self._entries(config):
            for name, rows in zip(entry.foreign, entry.rows, strict=True):
                shape = (rows, *entry.shape[1:])
                shapes[name] = shape[::-1] if entry.transposed else shape
        return shapes

    def _entries(self, config: ModelConfig) -> Iterator[Entry]:
        for name, shape in _our_shapes(config).items():
            module, _, kind = name.rpartition(".")
            _, block, part = module.split(".", 2) if module.startswith("blocks.") else ("", "", module)
            if part.startswith("norm"):
                kind = self.norm_kinds.get(kind, kind)
            names = self.modules[part]
            names = (names,) if isinstance(names, str) else names
            foreign = tuple(f"{each.format(i=block)}.{kind}" for each in names)
            rows = _split_rows(config, part, shape[0], len(names))
            yield Entry(name, shape, foreign, rows, self.transposed and bool(block) and len(shape) == 2)


def _split_rows(config: ModelConfig, part: str, rows: int, count: int) -> tuple[int, ...]:
    if part == "attention.qkv" and count == 3:
        keys = config.kv_heads * config.head_dim
        return rows - 2 * keys, keys, keys
    return (rows // count,) * count


def _our_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    import torch

    from talewright.model.gpt import GPT

    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}
