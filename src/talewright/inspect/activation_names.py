"""The names of a model's activations: what `record` can return and `patch` can replace.

They are TransformerLens's names without `hook_`; its full names, such as `blocks.0.attn.hook_pattern`, work as well.
`embedding`, `attn.input`, `mlp.input`, `norm` and `logits` have no exact counterpart there.
"""

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
    "resid_pre": "(B, T, D): the residual stream before the block",
    "attn.input": "(B, T, D): what attention reads (normalized, where the norm comes first)",
    "attn.q": "(B, H, T, d): queries, after their norm and rotation, where the model has them",
    "attn.k": "(B, K, T, d): keys, likewise; K is n_kv_heads",
    "attn.v": "(B, K, T, d): values",
    "attn.attn_scores": "(B, H, T, T): query times key, scaled; -inf where a token may not attend",
    "attn.pattern": "(B, H, T, T): softmax of the scores, rows summing to 1",
    "attn.z": "(B, H, T, d): what each head gathered, before the output projection",
    "attn_out": "(B, T, D): what attention adds to the stream",
    "resid_mid": "(B, T, D): the residual stream between attention and feed-forward",
    "mlp.input": "(B, T, D): what the feed-forward layer reads",
    "mlp.pre": "(B, T, d_ff), twice as wide for SwiGLU: before the non-linearity",
    "mlp.post": "(B, T, d_ff): the neurons, after the non-linearity",
    "mlp_out": "(B, T, D): what the feed-forward layer adds to the stream",
    "resid_post": "(B, T, D): the residual stream after the block",
}
"""Each follows `blocks.L.`, where L is the layer, from 0."""


def activation_names(config: ModelConfig) -> list[str]:
    """Every name of a model's activations, in the order in which they are computed."""
    in_blocks = [f"blocks.{layer}.{name}" for layer in range(config.n_layers) for name in IN_BLOCK]
    return ["embedding", *in_blocks, "norm", "logits"]


def match_names(patterns: Iterable[str], config: ModelConfig) -> list[str]:
    """The names that match, in the order in which they are computed. A `*` matches anything between two dots, such as
    every layer; a `*` alone matches all names.

    Raises UserError, with the nearest names, if a pattern matches none.
    """
    names, matches = activation_names(config), set()
    for pattern in patterns:
        short = pattern.replace("hook_", "")
        regex = ".+" if short == "*" else re.escape(short).replace(r"\*", "[^.]+")
        matching = [name for name in names if re.fullmatch(regex, name)]
        if not matching:
            near = ", ".join(difflib.get_close_matches(short, names, 3, cutoff=0.4)) or ", ".join(OUTSIDE)
            raise UserError(
                f"no activation {pattern} in this model of {config.n_layers} layers; the nearest are {near}"
            )
        matches.update(matching)
    return [name for name in names if name in matches]
