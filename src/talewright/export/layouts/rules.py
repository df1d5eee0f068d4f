"""How the tensors of another program's model correspond to ours: a table that is read in both directions."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import GPT

Tensors = dict[str, Tensor]

ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu2": "relu2", "swiglu": "silu"}
"""Our names of the non-linearities and transformers' own."""


class Rule(NamedTuple):
    """One of our tensors is theirs, put one below the other in this order."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...]
    """Rows of each of theirs."""
    transposed: bool = False
    """Whether theirs is held as (in, out)."""


class Layout(ABC):
    """A model class of transformers: which of our models it computes, its config.json, the names of its tensors."""

    architecture: ClassVar[str]
    model_type: ClassVar[str]

    @abstractmethod
    def why_not(self, config: ModelConfig) -> str | None:
        """Why the class computes something else than our model of that shape; None where it is the same."""

    @abstractmethod
    def settings(self, config: ModelConfig) -> dict[str, Any]:
        """What its config.json says of a model of that shape."""

    @abstractmethod
    def names(self, config: ModelConfig) -> Iterator[Rule]:
        """The correspondence of modules (each with its weight, and a bias where it has one), layer by layer."""

    @abstractmethod
    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        """The projections that have a bias there, if only of zeros."""

    def rules(self, config: ModelConfig) -> dict[str, Rule]:
        """By the name of each of our tensors, of a model that has the class's biases: what they are called there."""
        modules = {rule.ours: rule for rule in self.names(config)}
        found = {}
        for name, shape in shapes(config).items():
            module, _, kind = name.rpartition(".")
            rule = modules[module]
            turned = rule.transposed and len(shape) == 2
            found[name] = Rule(name, tuple(f"{each}.{kind}" for each in rule.theirs), rule.sizes, turned)
        return found

    def to_theirs(self, config: ModelConfig, ours: Mapping[str, Tensor]) -> Tensors:
        """Our tensors by their names; a bias that ours has not is 0."""
        whole = dataclasses.replace(config, bias=self.biases(config))
        wanted, found = shapes(whole), {}
        for name, rule in self.rules(whole).items():
            tensor = ours[name] if name in ours else torch.zeros(wanted[name])
            parts = tensor.split(rule.sizes) if len(rule.theirs) > 1 else (tensor,)
            for theirs, part in zip(rule.theirs, parts, strict=True):
                found[theirs] = (part.T if rule.transposed else part).contiguous()
        return found


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of our model, without making it."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}


def head_rows(config: ModelConfig) -> tuple[int, int, int]:
    """Rows of queries, keys and values in our one matrix."""
    d = config.head_dim
    return config.n_heads * d, config.kv_heads * d, config.kv_heads * d


def is_local(config: ModelConfig) -> bool:
    """Whether some layer sees less than the whole context."""
    windows = (config.layer_window(layer) or config.context_length for layer in range(config.n_layers))
    return min(windows) < config.context_length


def first_reason(*reasons: tuple[bool, str]) -> str | None:
    """The words of the first pair that holds."""
    return next((words for holds, words in reasons if holds), None)


def gpt_reason(config: ModelConfig) -> str | None:
    """What keeps a model from being one of the GPT-2 family."""
    return first_reason(
        (config.norm != "layernorm", "it has RMSNorm where the model there has LayerNorm"),
        (
            config.norm_placement != "pre",
            "its norms stand after the residual sum (post-LN), there before each sub-layer",
        ),
        (config.positions != "learned", f"its positions are {config.positions}, there learned"),
        (config.embedding_scaled, "its embedding is scaled"),
        (config.qk_norm, "it normalises queries and keys"),
        (config.kv_heads != config.n_heads, "its heads of keys and values are grouped"),
        (config.activation == "swiglu", "its feed-forward layer is gated (SwiGLU)"),
    )
