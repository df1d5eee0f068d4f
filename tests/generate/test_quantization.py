"""Weights of fewer bits: close to the original weights, and generation works the same from prompt to end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.quantization import WeightPrecision, at_precision, decoder_at, int8_product, to_int8
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

CLOSE: dict[WeightPrecision, float] = {"fp32": 1e-5, "bf16": 0.2, "fp16": 0.03, "int8": 0.2}
"""How near the logits of small, lively models stay to those of the same weights in float32: root mean squares."""


@settings(max_examples=30)
@given(rows=st.integers(1, 9), columns=st.integers(1, 40), seed=SEEDS)
def test_int8_weights_are_within_half_a_step(rows: int, columns: int, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    levels, scales = to_int8(weight)
    assert levels.dtype == torch.int8
    assert torch.all((levels * scales[:, None] - weight).abs() <= 0.5001 * scales[:, None])
    assert torch.equal(scales, scales.bfloat16().float())


def test_a_row_of_zeros_stays_zero() -> None:
    levels, scales = to_int8(torch.zeros(2, 5))
    assert not (levels * scales[:, None]).any()


@settings(max_examples=60)
@given(
    rows=st.integers(1, 40),
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 140) | st.integers(1, 6).map(lambda n: 32 * n),
    bias=st.booleans(),
    seed=SEEDS,
)
def test_the_int8_product_is_that_of_the_rounded_weights(
    rows: int, outputs: int, inputs: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    x, weight = torch.randn(rows, inputs).bfloat16().float(), torch.randn(outputs, inputs)
    shift = torch.randn(outputs) if bias else None
    levels, scales = to_int8(weight)
    expected = torch.nn.functional.linear(x, levels * scales[:, None], shift)
    torch.testing.assert_close(int8_product(weight, shift)(x), expected, atol=0.1 + inputs**0.5 / 64, rtol=2**-7)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
@settings(max_examples=15)
@given(config=model_configs(context_length=9, attention_scaled=True, norm_eps=1e-5), seed=SEEDS)
@torch.inference_mode()
def test_logits_stay_near_those_of_float32(precision: WeightPrecision, config: ModelConfig, seed: int) -> None:
    """The prompt read by `hidden`, the rest token by token."""
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    decoder = decoder_at(model, config.vocab_size, precision)
    cache = KVCache.empty(config, len(tokens), config.context_length, like=decoder.model.output_weight)
    decoder.model.hidden(tokens[:, :4], cache)
    found = torch.stack([decoder.logits(decoder.hidden(tokens[:, t], cache)).float() for t in range(4, 9)], 1)
    expected = (decoder.model if precision == "int8" else model)(tokens)[:, 4:]
    error = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < CLOSE[precision]


def test_the_model_itself_is_left_as_it_is() -> None:
    model = lively_model(ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=9, context_length=4), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for precision in CLOSE:
        decoder_at(model, 9, precision)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert isinstance(at_precision(model, "fp16"), GPT)


def test_an_unknown_precision_is_named() -> None:
    model = lively_model(ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=9, context_length=4), 0)
    with pytest.raises(UserError, match="--precision is fp8; it is one of fp32, bf16, fp16, int8"):
        decoder_at(model, 9, "fp8")  # pyright: ignore[reportArgumentType]
