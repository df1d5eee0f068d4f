"""What an adapter is: how one model class of another program corresponds to ours."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from talewright.config import ModelConfig
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.adapters.tensor_map import TensorMap, Tensors

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu2": "relu2", "swiglu": "silu"}
"""Our names of the activations and those of transformers."""
MOST_LAYERS = 4096
Fields = dict[str, tuple[str, Any]]
"""For each of our settings: its key in config.json, and the class's default there (None if it has none)."""


class Adapter(ABC):
    """A model class of another program: which of our models it computes, its config.json, the names of its tensors."""

    architecture: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of the class in config.json."""
    model_type: ClassVar[str]
    prefix: ClassVar[str]
    """What tensor names begin with, except in the file of a model that was saved without its output layer."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Endings of tensor names that some files contain although they are computed, not learned."""
    fixed: ClassVar[dict[str, Any]] = {}
    """Our settings that all models of the class have."""
    fields: ClassVar[Fields] = {}
    """Our other settings that are in config.json."""
    dropout: ClassVar[dict[str, str]] = {}
    """The key of the dropout rate of each of our dropout sites."""
    tensor_map: ClassVar[TensorMap]

    def stored_map(self, shapes: Mapping[str, tuple[int, ...]]) -> TensorMap:
        """How a file with tensors of these names and shapes stores the model."""
        return self.tensor_map

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        """Why the class does not compute the same as our model of that shape; None if it does."""
        return difference(config, self.fixed)

    @abstractmethod
    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        """The config.json of a model of that shape."""

    @abstractmethod
    def from_json(self, json: ConfigJson) -> ModelConfig:
        """The shape that a config.json describes. Raises UserError at a setting that our model does not have."""

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        """The projections that have a bias in this class; zeros if our model has none."""
        return config.bias

    def export_tensors(self, config: ModelConfig, ours: Mapping[str, Tensor]) -> Tensors:
        """Our tensors as this class names and stores them."""
        return self.tensor_map.export_tensors(dataclasses.replace(config, bias=self.bias_sites(config)), ours)

    def fields_to_json(self, config: ModelConfig) -> dict[str, Any]:
        rates = {key: config.dropout if site in config.dropout_sites else 0.0 for site, key in self.dropout.items()}
        return {key: getattr(config, name) for name, (key, _) in self.fields.items()} | rates

    def fields_from_json(self, json: ConfigJson, **defaults: Any) -> dict[str, Any]:
        """Our settings from `fixed`, `fields` and `dropout`. defaults: those that depend on other settings."""
        readers = {bool: json.boolean, float: json.number}
        values = {}
        for name, (key, default) in self.fields.items():
            values[name] = readers.get(type(default), json.integer)(key, defaults.get(name, default))
        if values["n_layers"] > MOST_LAYERS:  # before anything is listed layer by layer
            raise json.error(self.fields["n_layers"][0], f"use an integer from 1 to {MOST_LAYERS:,}")
        return {**self.fixed, **values, **json.dropout(self.dropout)}


def difference(config: ModelConfig, expected: Mapping[str, Any]) -> str | None:
    """The first setting that is not as expected, as a reason; None if all are."""
    for name, value in expected.items():
        if getattr(config, name) != value:
            return f"its model.{name} is {getattr(config, name)}, not {value}"
    return None


def first_reason(*reasons: tuple[bool, str]) -> str | None:
    """The text of the first pair that holds."""
    return next((reason for holds, reason in reasons if holds), None)


def local_reason(config: ModelConfig) -> str | None:
    """The reason if a layer attends to less than the whole context."""
    windows = (config.layer_window(layer) or config.context_length for layer in range(config.n_layers))
    return "some of its layers have local attention" if min(windows) < config.context_length else None


def shortest_period(kinds: list[str]) -> tuple[str, ...]:
    """The shortest beginning of the list that gives all of it if repeated: [a, b, a, b] -> (a, b)."""
    lengths = range(1, len(kinds) + 1)
    length = next(n for n in lengths if all(kind == kinds[i % n] for i, kind in enumerate(kinds)))
    return tuple(kinds[:length])
