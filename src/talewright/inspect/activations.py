"""Any activation of a model, by name: to look at (`record`), or to replace and see what changes (`patch`).

The model's own forward pass runs, in a copy of its modules that shares its weights. In the copy, torch's hooks and
wrapped methods pass every activation on; training has neither, and pays nothing. Only where its scores or its pattern
are wanted, attention is computed in another way, with the scores written out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from talewright.errors import UserError
from talewright.inspect.activation_names import match_names
from talewright.model.attention import attention_scores
from talewright.model.gpt import GPT, Block
from talewright.model.masks import AttentionMetadata

Module = TypeVar("Module", bound=nn.Module)
Patch = Tensor | Callable[[Tensor], Tensor]
"""What replaces an activation: a tensor of its shape (or one that broadcasts to it), or a function of it."""
Tap = Callable[[Tensor], Tensor]
"""Receives an activation, and returns what the model continues with."""


def record(
    model: GPT, tokens: Tensor, names: Iterable[str], patches: Mapping[str, Patch] | None = None
) -> dict[str, Tensor]:
    """The named activations of `tokens` (B, T), in the order in which they are computed; `blocks.*.resid_post` names
    those of all layers.

    `activation_names` lists the names, docs/inspection.md their shapes too. Dropout is off, and no gradient is kept.
    With `patches`, it records what results from them. Raises UserError at an unknown name, at a patch that does not
    fit, and at more tokens than the model's context holds.
    """
    activations: dict[str, Tensor] = {}
    observe(model, tokens, names, activations.__setitem__, patches)
    return {name: activations.pop(name) for name in list(activations)}  # the copy, with its cycles, must not hold them


def observe(
    model: GPT,
    tokens: Tensor,
    names: Iterable[str],
    see: Callable[[str, Tensor], None],
    patches: Mapping[str, Patch] | None = None,
) -> None:
    """Call `see` with each named activation as it is computed. One that `see` does not keep is gone when the next
    comes, so that the patterns of all layers need the memory of one. Raises UserError as `record` does.
    """
    wanted = set(match_names(names, model.config))
    changes = {name: change for key, change in (patches or {}).items() for name in match_names([key], model.config)}

    def tap(name: str, value: Tensor) -> Tensor:
        if name in changes:
            value = _replacement(name, value, changes[name])
        if name in wanted:
            see(name, value)
        return value

    _check(model, tokens)
    touched = {*wanted, *changes}
    tapped = _tapped(model, tap, touched)
    with torch.no_grad():
        (tapped if "logits" in touched else tapped.hidden)(tokens)


def patch(model: GPT, tokens: Tensor, patches: Mapping[str, Patch]) -> Tensor:
    """Logits (B, T, V) of a model in which the named activations are replaced; the model itself does not change.

    Raises UserError as `record` does.
    """
    return record(model, tokens, ["logits"], patches)["logits"]


def zero_head(block: Block, x: Tensor, metadata: AttentionMetadata, head: int) -> Tensor:
    """The block's output (B, T, D) at the residual stream x, with one head's output set to 0."""
    block, d = copy_sharing_weights(block), block.attention.head_dim

    def without_head(z: Tensor) -> Tensor:  # (B, T, D)
        z = z.clone()
        z[..., head * d : (head + 1) * d] = 0
        return z

    _tap_input(block.attention.out, without_head)
    return block(x, metadata)


# --- where each name is tapped ----------------------------------------------------------------------------------------


def _tapped(model: GPT, tap: Callable[[str, Tensor], Tensor], names: set[str]) -> GPT:
    """The model, without dropout, with every activation passed through `tap(name, activation)`; scores and patterns of
    attention only if they are among the names.
    """
    model = copy_sharing_weights(model).eval()
    _tap_method(model, "embed", lambda x: tap("embedding", x))
    for layer, block in enumerate(cast(list[Block], model.blocks)):
        explicit = any(f"blocks.{layer}.attn.{name}" in names for name in ("attn_scores", "pattern"))
        _tap_block(block, lambda name, layer=layer: lambda value: tap(f"blocks.{layer}.{name}", value), explicit)
    _tap_output(model.norm, lambda x: tap("norm", x))
    _tap_method(model, "logits", lambda x: tap("logits", x))
    return model


def _tap_block(block: Block, at: Callable[[str], Tap], explicit: bool) -> None:
    """`at` gives the tap of a name in this block; `explicit` writes the scores of attention out."""
    attention, mlp = block.attention, block.mlp

    def explicit_attention(q: Tensor, k: Tensor, v: Tensor, metadata: AttentionMetadata) -> Tensor:
        mask, groups = metadata.masks[attention.window], attention.n_heads // attention.kv_heads
        scores = at("attn.attn_scores")(attention_scores(q, k, mask, metadata.causal, attention.scale))
        return at("attn.pattern")(scores.softmax(-1)) @ v.repeat_interleave(groups, 1)

    _tap_input(block, at("resid_pre"))
    _tap_input(attention, at("attn.input"))
    _tap_method(attention, "project", lambda qkv: [at(f"attn.{n}")(x) for n, x in zip("qkv", qkv, strict=True)])
    if explicit:
        attention.attend = explicit_attention
    _tap_method(attention, "attend", at("attn.z"))
    _tap_output(attention, at("attn_out"))
    _tap_method(block, "attend", at("resid_mid"))
    _tap_input(mlp, at("mlp.input"))
    _tap_output(mlp.up, at("mlp.pre"))
    _tap_input(mlp.down, at("mlp.post"))
    _tap_output(mlp, at("mlp_out"))
    _tap_output(block, at("resid_post"))


def _tap_input(module: nn.Module, tap: Tap) -> None:
    def hook(_: nn.Module, given: tuple[Any, ...]) -> Any:
        return tap(given[0]), *given[1:]

    module.register_forward_pre_hook(hook)


def _tap_output(module: nn.Module, tap: Tap) -> None:
    def hook(_: nn.Module, given: Any, output: Tensor) -> Tensor:
        return tap(output)

    module.register_forward_hook(hook)


def _tap_method(module: nn.Module, name: str, tap: Callable[[Any], Any]) -> None:
    method = getattr(module, name)
    setattr(module, name, lambda *given: tap(method(*given)))


def copy_sharing_weights(module: Module) -> Module:
    """A copy of the modules that has the same tensors: it can get hooks of its own."""
    shared: Any = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


# --- checks -----------------------------------------------------------------------------------------------------------


def _replacement(name: str, value: Tensor, change: Patch) -> Tensor:
    """The patch, in the activation's own shape, dtype and device."""
    new = change if isinstance(change, Tensor) else change(value.clone())
    try:
        return new.to(value).expand(value.shape)
    except (RuntimeError, AttributeError):
        shape = tuple(new.shape) if isinstance(new, Tensor) else new
        raise UserError(f"the patch of {name} is {shape}; the activation is {tuple(value.shape)}") from None


def _check(model: GPT, tokens: Tensor) -> None:
    if tokens.dim() != 2 or not tokens.numel():
        raise UserError(f"tokens have the shape {tuple(tokens.shape)}; it must be (B, T), with at least one token")
    if tokens.shape[1] > model.config.context_length:
        raise UserError(
            f"{tokens.shape[1]} tokens are more than the model's context of {model.config.context_length}; cut them"
        )
