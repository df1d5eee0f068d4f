"""Generate with parts of the model switched off, or with its residual stream pushed in a direction.

    means = mean_outputs(model, sequences)
    with intervened(model, switched_off=[Part(1, 2), Part(3)], means=means) as changed:
        print(Engine(changed, tokenizer).generate(["Once upon a time"])[0].text)

`changed` is a copy of the model's modules that shares its weights and has forward hooks, so that others may use the
model at the same time. It is read, scored and generated with like any model: the hooks also run where single tokens are
decoded over a cache (`talewright.generate.hooked_decode`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from talewright.errors import UserError
from talewright.inspect.activations import copy_sharing_weights, observe
from talewright.inspect.parts import Part, all_parts, check_part
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT, Block
from talewright.model.loss import IGNORED
from talewright.tokenizer import Tokenizer

Means = Mapping[Part, Tensor]
"""What each part puts out on average: a head's z (d,), before the output projection; an MLP's output (D,)."""


@dataclass(frozen=True, kw_only=True)
class Steering:
    """A vector that is added to the residual stream after a layer, at every position."""

    layer: int
    vector: Tensor
    """(D,), as `steering_vector` returns it."""
    strength: float = 1.0
    """Factor of the vector; a negative one steers the other way."""


@contextmanager
def intervened(
    model: GPT,
    switched_off: Sequence[Part] = (),
    means: Means | None = None,
    steering: Sequence[Steering] = (),
) -> Iterator[GPT]:
    """A copy of the model, sharing its weights, in which these parts are switched off and the stream is steered.

    The output of a part that is switched off is 0 at every position (zero ablation), or, with `means` of
    `mean_outputs`, its average (mean ablation), which takes away what the part says about this text, but not what it
    always says. Leaving the context removes the hooks. Raises UserError if the model has no such part or layer.
    """
    changed = copy_sharing_weights(model)
    hooks = [_switch_off(changed, part, means) for part in dict.fromkeys(switched_off)]
    hooks += [_steer(changed, each) for each in steering]
    try:
        yield changed
    finally:
        for hook in hooks:
            hook.remove()


def mean_outputs(model: GPT, sequences: Sequence[np.ndarray]) -> dict[Part, Tensor]:
    """The average output of every part over all positions of these token sequences, for mean ablation.

    Sequences as `make_sequence` returns them: their last token is not read. Raises UserError if there is none.
    """
    sums: dict[Part, Tensor] = {}
    tokens = 0
    for inputs, targets in batches(sequences):
        real = (targets != IGNORED).to(model.output_weight.device)  # (B, T)
        tokens += int(real.sum())

        def see(name: str, value: Tensor, real: Tensor = real) -> None:
            layer = int(name.split(".")[1])
            if name.endswith("mlp_out"):
                outputs = {Part(layer): value[real]}  # (N, D)
            else:
                outputs = {Part(layer, h): z[real] for h, z in enumerate(value.unbind(1))}  # (N, d)
            for part, output in outputs.items():
                sums[part] = sums.get(part, 0) + output.float().sum(0)

        observe(model, inputs.to(model.output_weight.device), ["blocks.*.attn.z", "blocks.*.mlp_out"], see)
    if not tokens:
        raise UserError("there is no text to average over; give at least one story")
    return {part: sums[part] / tokens for part in all_parts(model.config)}


def steering_vector(model: GPT, tokenizer: Tokenizer, toward: Sequence[str], away: Sequence[str], layer: int) -> Tensor:
    """The mean residual stream after a layer in the texts `toward`, minus that in the texts `away`: (D,), float32.

    The mean over the tokens of each text, then over the texts, so that each text counts the same (difference of means:
    Turner et al. 2023, arXiv:2308.10248; Rimsky et al. 2023, arXiv:2312.06681). Raises UserError if either has no text,
    or a text has no token, or the model has no such layer.
    """
    _check_layer(model, layer)
    first, second = (_mean_stream(model, tokenizer, texts, layer) for texts in (toward, away))
    return first - second


def _mean_stream(model: GPT, tokenizer: Tokenizer, texts: Sequence[str], layer: int) -> Tensor:
    encoded = [[tokenizer.begin_id, *ids][: model.config.context_length] for ids in tokenizer.encode_batch(list(texts))]
    if not encoded or min(map(len, encoded)) < 2:
        raise UserError("a direction is the difference of two sets of texts; one of them has no text, or an empty one")
    means: list[Tensor] = []
    for ids in encoded:
        tokens = torch.tensor([ids], device=model.output_weight.device)
        observe(
            model,
            tokens,
            [f"blocks.{layer}.resid_post"],
            lambda _, stream: means.append(stream[0, 1:].float().mean(0)),  # without the first, which all texts share
        )
    return torch.stack(means).mean(0)


def _switch_off(model: GPT, part: Part, means: Means | None) -> Any:
    """Hook a part of the (copied) model; returns the handle that removes the hook."""
    check_part(part, model.config)
    block = cast(Block, model.blocks[part.layer])
    value = None if means is None else means[part]

    def fill(_: nn.Module, given: Any, output: Tensor) -> Tensor:
        return _filled(output, value)

    if part.head is None:
        return block.mlp.register_forward_hook(fill)
    d = block.attention.head_dim
    columns = slice(part.head * d, (part.head + 1) * d)

    def replace(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        z = given[0].clone()  # (B, T, D)
        z[..., columns] = _filled(z[..., columns], value)
        return z, *given[1:]

    return block.attention.out.register_forward_pre_hook(replace)


def _filled(output: Tensor, value: Tensor | None) -> Tensor:
    return torch.zeros_like(output) if value is None else value.to(output).expand_as(output)


def _steer(model: GPT, steering: Steering) -> Any:
    _check_layer(model, steering.layer)
    if steering.vector.shape != (model.config.d_model,):
        raise UserError(
            f"the direction has the shape {tuple(steering.vector.shape)}; the model's stream is {model.config.d_model} "
            "wide: compute the direction with the same model"
        )
    vector = steering.strength * steering.vector

    def add(_: nn.Module, given: Any, output: Tensor) -> Tensor:
        return output + vector.to(output)

    return model.blocks[steering.layer].register_forward_hook(add)


def _check_layer(model: GPT, layer: int) -> None:
    if not 0 <= layer < model.config.n_layers:
        raise UserError(f"the model has no layer {layer}; its layers are 0 to {model.config.n_layers - 1}")
