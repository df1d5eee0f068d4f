"""How the tensors of another program's model correspond to ours: a table that is read in both directions."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.export.adapters.settings import Settings
from talewright.model.gpt import GPT

Tensors = dict[str, Tensor]

ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu2": "relu2", "swiglu": "silu"}
"""Our names of the non-linearities and transformers' own."""


class Rule(NamedTuple):
    """One of our modules is theirs, put one below the other in this order."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    """Rows of each of theirs, where there are several."""
    transposed: bool = False
    """Whether their matrices are held as (in, out)."""
    kinds: Mapping[str, str] = {"weight": "weight", "bias": "bias"}
    """Their names for a module's weight and bias."""

    def tensors(self, kind: str) -> tuple[str, ...]:
        return tuple(f"{name}.{self.kinds[kind]}" for name in self.theirs)


class Layout(ABC):
    """A model class of another program: which of our models it computes, its config.json, the names of its tensors."""

    architecture: ClassVar[str]
    model_type: ClassVar[str]
    prefix: ClassVar[str] = ""
    """What the names of tensors begin with, and may lack in the file of a model without its output layer."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of tensors that some files hold and that are computed, not learned."""

    @abstractmethod
    def why_not(self, config: ModelConfig) -> str | None:
        """Why the class computes something else than our model of that shape; None where it is the same."""

    @abstractmethod
    def settings(self, config: ModelConfig) -> dict[str, Any]:
        """What its config.json says of a model of that shape."""

    @abstractmethod
    def config(self, settings: Settings) -> ModelConfig:
        """The shape that its config.json describes. Raises UserError at a setting that our model does not have."""

    @abstractmethod
    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        """The projections that have a bias there, if only of zeros."""

    @abstractmethod
    def names(self, config: ModelConfig) -> Iterator[Rule]:
        """The correspondence of modules, layer by layer."""

    def to_theirs(self, config: ModelConfig, ours: Mapping[str, Tensor]) -> Tensors:
        """Our tensors by their names; a bias that ours has not is 0."""
        found = {}
        for name, kind, shape, rule in self._rules(dataclasses.replace(config, bias=self.biases(config))):
            tensor = ours[name] if name in ours else torch.zeros(shape)
            parts = tensor.split(rule.sizes) if rule.sizes else (tensor,)
            for theirs, part in zip(rule.tensors(kind), parts, strict=True):
                found[theirs] = (part.T if rule.transposed and part.dim() == 2 else part).contiguous()
        return found

    def to_ours(self, config: ModelConfig, theirs: Mapping[str, Tensor]) -> Tensors:
        """Their tensors, of which none lacks (see `shapes`), by our names."""
        found = {}
        for name, kind, _, rule in self._rules(config):
            parts = [theirs[each] for each in rule.tensors(kind)]
            parts = [part.T if rule.transposed and part.dim() == 2 else part for part in parts]
            found[name] = torch.cat(parts).contiguous()
        return found

    def shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor that a file of such a model holds."""
        found = {}
        for _, kind, shape, rule in self._rules(config):
            for theirs, rows in zip(rule.tensors(kind), rule.sizes or shape[:1], strict=True):
                part = (rows, *shape[1:])
                found[theirs] = part[::-1] if rule.transposed else part
        return found

    def _rules(self, config: ModelConfig) -> Iterator[tuple[str, str, tuple[int, ...], Rule]]:
        """Of each of our tensors: its name, weight or bias, its shape, and the rule of its module."""
        modules = {rule.ours: rule for rule in self.names(config)}
        for name, shape in shapes(config).items():
            module, _, kind = name.rpartition(".")
            yield name, kind, shape, modules[module]


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


def shortest_period(kinds: list[str]) -> tuple[str, ...]:
    """The beginning of the list that, repeated, gives all of it: [a, b, a, b] -> (a, b)."""
    lengths = range(1, len(kinds) + 1)
    length = next(n for n in lengths if all(kind == kinds[i % n] for i, kind in enumerate(kinds)))
    return tuple(kinds[:length])


def first_reason(*reasons: tuple[bool, str]) -> str | None:
    """The words of the first pair that holds."""
    return next((words for holds, words in reasons if holds), None)


def gpt_reason(config: ModelConfig) -> str | None:
    """What keeps a model from being one of the GPT-2 family."""
    return first_reason(
        (config.norm != "layernorm", "it has RMSNorm where the model there has LayerNorm"),
        *common_reasons(config),
        (config.positions != "learned", f"its positions are {config.positions}, there learned"),
        (config.qk_norm, "it normalises queries and keys"),
        (config.kv_heads != config.n_heads, "its heads of keys and values are grouped"),
        (config.activation == "swiglu", "its feed-forward layer is gated (SwiGLU)"),
    )


def common_reasons(config: ModelConfig) -> tuple[tuple[bool, str], ...]:
    """What no published class computes, for `first_reason`."""
    return (
        (config.norm_placement != "pre", "its norms stand after the residual sum (post-LN), not before each sub-layer"),
        (config.embedding_scaled, "its embedding is scaled"),
    )
