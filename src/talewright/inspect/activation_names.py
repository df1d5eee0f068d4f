"""The names of a model's activations: what `record` can give and `patch` can replace."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from talewright.config import ModelConfig
from talewright.errors import UserError

OUTSIDE = {
    "embedding": "(B, T, D): token and position, as the first block reads them",
    "norm": "(B, T, D): the last norm's output, which the output layer reads",
    "logits": "(B, T, V): the score of each next token",
}
IN_BLOCK = {
    "input": "(B, T, D): the residual stream before the block, its residual scalars applied",
    "attention.input": "(B, T, D): what attention reads (normalised, where the norm comes first)",
    "attention.queries": "(B, H, T, d): after their norm and rotation, where the model has them",
    "attention.keys": "(B, K, T, d): the same of the keys; K is n_kv_heads",
    "attention.values": "(B, K, T, d)",
    "attention.scores": "(B, H, T, T): query times key, scaled; -inf where a token may not look",
    "attention.weights": "(B, H, T, T): softmax of the scores, rows summing to 1",
    "attention.heads": "(B, H, T, d): what each head gathered, before the output projection",
    "attention.output": "(B, T, D): what attention adds to the stream",
    "middle": "(B, T, D): the residual stream between attention and feed-forward",
    "mlp.input": "(B, T, D): what the feed-forward layer reads",
    "mlp.before": "(B, T, d_ff), twice as wide for SwiGLU: before the non-linearity",
    "mlp.hidden": "(B, T, d_ff): the neurons, after the non-linearity",
    "mlp.output": "(B, T, D): what the feed-forward layer adds to the stream",
    "output": "(B, T, D): the residual stream after the block",
}
"""Each of them stands after `blocks.L.`, L being the layer, from 0."""


def activation_names(config: ModelConfig) -> list[str]:
    """Every name of a model's activations, in the order in which they come about."""
    inside = [f"blocks.{layer}.{name}" for layer in range(config.n_layers) for name in IN_BLOCK]
    return ["embedding", *inside, "norm", "logits"]


def find_names(wanted: Iterable[str], config: ModelConfig) -> list[str]:
    """The names that are meant, in the order in which they come about. A `*` stands for anything between two dots, such
    as every layer, and alone for all names.

    Raises UserError, with the nearest names, where one is none.
    """
    known, found = activation_names(config), set()
    for name in wanted:
        pattern = ".+" if name == "*" else re.escape(name).replace(r"\*", "[^.]+")
        matching = [each for each in known if re.fullmatch(pattern, each)]
        if not matching:
            near = ", ".join(difflib.get_close_matches(name, known, 3, cutoff=0.4)) or ", ".join(OUTSIDE)
            raise UserError(f"no activation {name} in this model of {config.n_layers} layers; the nearest are {near}")
        found.update(matching)
    return [name for name in known if name in found]
