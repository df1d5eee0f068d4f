"""Any activation of a model, by name: to look at (`record`), or to replace and see what becomes of it (`patch`).

The model itself has nothing for this: no hook, no flag. Its forward pass is written out once more here, with a word at
every place that has a name, from the same parts. So looking costs nothing where nobody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from torch import Tensor

from talewright.errors import UserError
from talewright.inspect.activation_names import find_names
from talewright.model.attention import Attention, Placement, attention_scores
from talewright.model.gpt import GPT, Block
from talewright.model.mlp import MLP

Patch = Tensor | Callable[[Tensor], Tensor]
"""What takes an activation's place: a tensor of its shape (or one that broadcasts to it), or a function of it."""
Tap = Callable[[str, Tensor], Tensor]
"""Is shown a name and the activation that bears it, and gives what the model goes on with."""


def record(
    model: GPT, tokens: Tensor, names: Iterable[str], patches: Mapping[str, Patch] | None = None
) -> dict[str, Tensor]:
    """The named activations of `tokens` (B, T), in the order in which they come about (`blocks.*.output`: all layers').

    The names are listed by `activation_names`, and in docs/inspection.md with their shapes. Nothing is dropped out, and
    no gradient is kept. With `patches`, what is recorded is what comes of them. Raises UserError at an unknown name,
    at a patch that does not fit, and at more tokens than the model's context holds.
    """
    wanted = set(find_names(names, model.config))
    changes = _changes(model, patches or {})
    found: dict[str, Tensor] = {}

    def tap(name: str, value: Tensor) -> Tensor:
        if name in changes:
            value = _replaced(name, value, changes[name])
        if name in wanted:
            found[name] = value
        return value

    _check(model, tokens)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            _logits(model, tokens, tap)
    finally:
        model.train(training)
    return found


def patch(model: GPT, tokens: Tensor, patches: Mapping[str, Patch]) -> Tensor:
    """Logits (B, T, V) of a model of which the named activations are replaced; it is unchanged afterwards.

    Raises UserError as `record` does.
    """
    return record(model, tokens, ["logits"], patches)["logits"]


def zero_head(block: Block, x: Tensor, place: Placement, head: int) -> Tensor:
    """The block's output (B, T, D) at the stream x, with one head giving 0."""

    def tap(name: str, value: Tensor) -> Tensor:
        if name != "attention.heads":
            return value
        value = value.clone()
        value[:, head] = 0
        return value

    return _block(block, x, place, tap)


# --- the forward pass, once more --------------------------------------------------------------------------------------


def _logits(model: GPT, tokens: Tensor, tap: Tap) -> Tensor:
    x, place = model.embed(tokens)
    x = tap("embedding", x)
    for layer, block in enumerate(cast(list[Block], model.blocks)):
        x = _block(block, x, place, lambda name, value, layer=layer: tap(f"blocks.{layer}.{name}", value))
    return tap("logits", model.logits(tap("norm", model.norm(x))))


def _block(block: Block, x: Tensor, place: Placement, tap: Tap) -> Tensor:
    x = tap("input", x)
    if block.pre_norm:
        x = tap("middle", x + _attention(block.attention, block.norm1(x), place, tap))
        return tap("output", x + _mlp(block.mlp, block.norm2(x), tap))
    x = tap("middle", block.norm1(x + _attention(block.attention, x, place, tap)))
    return tap("output", block.norm2(x + _mlp(block.mlp, x, tap)))


def _attention(attention: Attention, x: Tensor, place: Placement, tap: Tap) -> Tensor:
    q, k, v = attention.project(tap("attention.input", x), place)
    q, k, v = tap("attention.queries", q), tap("attention.keys", k), tap("attention.values", v)
    mask = place.masks[attention.window]
    scores = tap("attention.scores", attention_scores(q, k, mask, place.causal, attention.scale))
    weights = tap("attention.weights", scores.softmax(-1))
    heads = tap("attention.heads", weights @ v.repeat_interleave(attention.n_heads // attention.kv_heads, 1))
    return tap("attention.output", attention.out(heads.transpose(1, 2).flatten(2)))


def _mlp(mlp: MLP, x: Tensor, tap: Tap) -> Tensor:
    h = tap("mlp.before", mlp.up(tap("mlp.input", x)))
    return tap("mlp.output", mlp.down(tap("mlp.hidden", mlp.activate(h))))


# --- what may be asked ------------------------------------------------------------------------------------------------


def _changes(model: GPT, patches: Mapping[str, Patch]) -> dict[str, Patch]:
    """The patches by whole names, those with a `*` spread over all that they mean."""
    return {name: change for wanted, change in patches.items() for name in find_names([wanted], model.config)}


def _replaced(name: str, value: Tensor, change: Patch) -> Tensor:
    """The patch in the activation's own shape and kind."""
    new = change if isinstance(change, Tensor) else change(value.clone())
    try:
        return new.to(value).expand(value.shape)
    except (RuntimeError, AttributeError):
        shape = tuple(new.shape) if isinstance(new, Tensor) else new
        raise UserError(f"the patch of {name} is {shape}; the activation is {tuple(value.shape)}") from None


def _check(model: GPT, tokens: Tensor) -> None:
    if tokens.dim() != 2 or not tokens.numel():
        raise UserError(f"tokens have the shape {tuple(tokens.shape)}; rows of ids are wanted, (B, T), one at least")
    if tokens.shape[1] > model.config.context_length:
        raise UserError(
            f"{tokens.shape[1]} tokens are more than the model's context of {model.config.context_length}; cut them"
        )
