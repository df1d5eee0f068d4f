"""Weights of fewer bits: generation is limited by reading them, so half the bytes give twice the tokens per second."""

from __future__ import annotations

import copy
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from talewright.errors import UserError
from talewright.generate.fast_decode import Decoder, Map, float_product
from talewright.generate.hooked_decode import HookedDecoder, make_decoder
from talewright.model.gpt import GPT, Block

WeightPrecision = Literal["fp32", "bf16", "fp16", "int8"]
"""bf16 for many samples at once on a CPU with bf16 units, fp16 for one; int8 is the fastest for one."""
FLOATS = {"bf16": torch.bfloat16, "fp16": torch.float16}
BYTES: dict[WeightPrecision, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes per weight."""
LEVELS = 127
"""int8 weights are whole numbers from -127 to 127, times a scale for each row."""

LANES = 32
"""torch's int8 kernel reads this many columns at once, past the end if there are fewer."""


def decoder_at(model: GPT, vocab_size: int, precision: WeightPrecision) -> Decoder:
    """A decoder with the model's weights at that precision. Raises UserError at an unknown precision."""
    if precision not in get_args(WeightPrecision):
        raise UserError(f"--precision is {precision}; it is one of {', '.join(get_args(WeightPrecision))}")
    if precision == "fp32":
        return make_decoder(model, vocab_size)
    changed = make_decoder(at_precision(model, precision), vocab_size)
    if precision != "int8" or isinstance(changed, HookedDecoder):
        return changed
    decoder = Decoder(model, vocab_size, int8_product)
    decoder.model = changed.model  # reads the prompts, and its embedding each token
    return decoder


@torch.no_grad()
def at_precision(model: GPT, precision: WeightPrecision) -> GPT:
    """A copy of the model with its weights at that precision; int8 ones are kept as float32 of these values."""
    model = copy.deepcopy(model).eval()
    if precision == "int8":
        for weight in _matrices(model):
            levels, scales = to_int8(weight)
            weight.copy_(levels * scales[:, None])
    elif precision != "fp32":
        table = model.table
        model = model.to(FLOATS[precision])
        if model.config.positions == "rotary":
            model.table = table  # angles need all their digits
    return model


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers (N, K), int8, and scales (N,), float32, whose product is the weight (N, K), to half a scale.

    The scale has bfloat16's digits, because the product's kernel reads it so.
    """
    scales = (weight.abs().amax(1) / LEVELS).bfloat16().float()
    levels = (weight / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-LEVELS, LEVELS)
    return levels.to(torch.int8), scales


def int8_product(weight: Tensor, bias: Tensor | None) -> Map:
    """The product with the weight in int8 and the rows in bfloat16, which adds in float32; on a GPU, whose kernels for
    it differ by torch's release, with the int8 values as float32.
    """
    levels, scales = to_int8(weight.detach())
    if weight.shape[1] % LANES or weight.device.type != "cpu":
        return float_product(levels * scales[:, None], bias)
    short = scales.bfloat16()

    def multiply(x: Tensor) -> Tensor:  # (B, K)
        y = torch.ops.aten._weight_int8pack_mm(x.bfloat16().contiguous(), levels, short).float()
        return y if bias is None else y + bias

    return multiply


def _matrices(model: GPT) -> list[Tensor]:
    """The weights of every product of one token."""
    blocks = [cast(Block, block) for block in model.blocks]
    linears = [linear for b in blocks for linear in (b.attention.qkv, b.attention.out, b.mlp.up, b.mlp.down)]
    return [linear.weight for linear in linears] + [model.output_weight]
