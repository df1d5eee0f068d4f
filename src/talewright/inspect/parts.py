"""The parts of a model that can be looked at one by one: each attention head, and each feed-forward layer."""

from __future__ import annotations

import re
from typing import NamedTuple

from talewright.config import ModelConfig
from talewright.errors import UserError


class Part(NamedTuple):
    """A head of a layer, or, without a head, its feed-forward layer (MLP). Both are counted from 0."""

    layer: int
    head: int | None = None

    @property
    def name(self) -> str:
        """Layer.head, as in 1.2; MLP and the layer, as in MLP 1."""
        return f"MLP {self.layer}" if self.head is None else f"{self.layer}.{self.head}"


def all_parts(config: ModelConfig) -> list[Part]:
    """Every part in the order in which it is computed: the heads of a layer, then its MLP."""
    heads = range(config.n_heads)
    return [part for layer in range(config.n_layers) for part in (*(Part(layer, h) for h in heads), Part(layer))]


def parse_part(name: str, config: ModelConfig) -> Part:
    """The part that is called so, whatever the case and the spaces. Raises UserError if the model has none."""
    found = re.fullmatch(r"mlp(\d+)|(\d+)\.(\d+)", re.sub(r"\s", "", name).lower())
    if found:
        part = Part(int(found[1])) if found[1] else Part(int(found[2]), int(found[3]))
        check_part(part, config)
        return part
    raise UserError(f"{name!r} is not a part; a head is LAYER.HEAD, as in 1.2, and a feed-forward layer MLP 1")


def check_part(part: Part, config: ModelConfig) -> None:
    """Raise UserError if the model has no such part."""
    if not (0 <= part.layer < config.n_layers and 0 <= (part.head or 0) < config.n_heads):
        raise UserError(
            f"the model has no {part.name}: its heads are 0.0 to {config.n_layers - 1}.{config.n_heads - 1}, "
            f"its feed-forward layers MLP 0 to MLP {config.n_layers - 1}"
        )
