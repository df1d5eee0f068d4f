"""Attention: what is trained unseen equals what is shown, and both reach no further than they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.inspect import record
from talewright.model.attention import attention_scores, blocked_attention
from talewright.model.gpt import GPT, Block
from tests.model import theirs
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

SIZES = st.integers(1, 9)


def attention_weights(model: GPT, tokens: Tensor) -> list[Tensor]:
    """Of each layer, how much each token takes from each: (B, H, T, T)."""
    return list(record(model, tokens, ["blocks.*.attn.pattern"]).values())


@settings(max_examples=40)
@given(kv_heads=st.integers(1, 3), groups=st.integers(1, 3), T=SIZES, d=SIZES, masked=st.booleans(), seed=SEEDS)
def test_explicit_attention_equals_the_fused_one(
    kv_heads: int, groups: int, T: int, d: int, masked: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, kv_heads * groups, T, d, generator=generator)
    k, v = torch.randn(2, 2, kv_heads, T, d, generator=generator).unbind()
    mask = torch.rand(T, T, generator=generator) < 0.5
    mask = mask | torch.eye(T, dtype=torch.bool) if masked else None
    weights = attention_scores(q, k, mask, causal=not masked, scale=0.3).softmax(-1)
    fused = F.scaled_dot_product_attention(q, k, v, mask, is_causal=not masked, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(weights @ v.repeat_interleave(groups, 1), fused, atol=1e-5, rtol=1e-4)


LENGTHS = st.integers(1, 20) | st.sampled_from([63, 64, 65, 128, 200])
"""Short contexts, and such as might be computed in pieces."""


@settings(max_examples=60)
@given(config=LENGTHS.flatmap(lambda T: model_configs(context_length=T)), window=st.integers(1, 90), seed=SEEDS)
def test_the_weights_shown_are_those_that_the_model_used(config: ModelConfig, window: int, seed: int) -> None:
    """Weights times values, through the output projection, give what each layer's attention gave."""
    config = replace(config, window=window)
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    shown, calls = attention_weights(model, tokens), []
    for block in cast(list[Block], model.blocks):
        block.attention.register_forward_hook(lambda module, inputs, output: calls.append((module, *inputs, output)))
    model(tokens)
    for weights, (attention, x, metadata, _, output) in zip(shown, calls, strict=True):
        values = attention.project(x, metadata)[2].repeat_interleave(config.n_heads // config.kv_heads, 1)
        again = attention.out((weights @ values).transpose(1, 2).flatten(2))
        torch.testing.assert_close(again, output, atol=1e-5, rtol=1e-4)


@settings(max_examples=40)
@given(config=model_configs(), seed=SEEDS)
def test_weights_sum_to_1_and_reach_as_far_as_the_window(config: ModelConfig, seed: int) -> None:
    model, T = lively_model(config, seed), config.context_length
    behind = torch.arange(T)[:, None] - torch.arange(T)  # (T, T): how many tokens back
    for layer, weights in enumerate(attention_weights(model, token_batch(config, seed))):
        assert weights.shape == (2, config.n_heads, T, T)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, config.n_heads, T))
        reach = config.window if config.attention[layer % len(config.attention)] == "local" else T
        assert torch.all(weights[..., (behind < 0) | (behind >= reach)] == 0)
        nearest = weights[..., behind == min(reach, T) - 1]  # the furthest that may be seen: the window counts itself
        assert nearest.count_nonzero() > 0 or config.qk_norm or not config.attention_scaled  # these can be very sharp


MODELS = [
    (theirs.gpt2, {"n_kv_heads": None, "norm": "layernorm", "positions": "learned", "activation": "gelu_tanh"}),
    (
        theirs.gpt_neo,
        {
            "n_kv_heads": None,
            "norm": "layernorm",
            "positions": "learned",
            "activation": "gelu_tanh",
            "bias": ("out", "mlp"),
            "attention": ("global", "local"),
            "attention_scaled": False,
        },
    ),
    (theirs.llama, {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}),
    (theirs.qwen3, {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": (), "qk_norm": True}),
]


@pytest.mark.parametrize(("make", "shape"), MODELS, ids=["gpt2", "gpt_neo", "llama", "qwen3"])
def test_attention_weights_equal_transformers(make: Callable[[GPT], nn.Module], shape: dict[str, Any]) -> None:
    rest: dict[str, Any] = {
        "norm_placement": "pre",
        "qk_norm": False,
        "embedding_scaled": False,
        "attention_scaled": True,
    }
    rest |= {"attention": ("global",)}

    @settings(max_examples=15)
    @given(config=model_configs(**{**rest, **shape}), seed=SEEDS)
    def check(config: ModelConfig, seed: int) -> None:
        ours, tokens = lively_model(config, seed), token_batch(config, seed)
        expected = make(ours)(input_ids=tokens, output_attentions=True, use_cache=False).attentions
        for found, wanted in zip(attention_weights(ours, tokens), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)

    check()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_local_layer_forgets_what_left_its_window(window: int) -> None:
    config = ModelConfig(n_layers=1, vocab_size=50, context_length=16, attention=("local",), window=window)
    model, tokens = lively_model(config, 0), token_batch(config, 0, rows=1)
    for changed in range(16):
        other = tokens.clone()
        other[0, changed] = (other[0, changed] + 1) % 50
        moved = (model(other) - model(tokens)).abs().amax(-1)[0] > 1e-6
        assert moved.nonzero().flatten().tolist() == list(range(changed, min(16, changed + window)))


def test_attention_without_scale_is_sharper_by_the_root_of_the_head_width() -> None:
    unscaled = lively_model(ModelConfig(vocab_size=50, context_length=8, attention_scaled=False), 0)
    scaled = GPT(ModelConfig(vocab_size=50, context_length=8)).eval()
    scaled.load_state_dict(unscaled.state_dict())
    tokens = token_batch(scaled.config, 0)
    with torch.no_grad():
        first = cast(Block, scaled.blocks[0]).attention
        for part in first.qkv.parameters():
            part[: scaled.config.d_model] *= first.head_dim**0.5  # the queries
    torch.testing.assert_close(attention_weights(scaled, tokens)[0], attention_weights(unscaled, tokens)[0])


@settings(max_examples=30)
@given(
    kv_heads=st.integers(1, 2),
    groups=st.integers(1, 2),
    T=st.integers(1, 150),
    window=st.none() | st.integers(1, 160),
    block=st.sampled_from([1, 7, 64, 128]),
    seed=SEEDS,
)
def test_blocked_attention_equals_the_explicit_one_and_so_do_its_gradients(
    kv_heads: int, groups: int, T: int, window: int | None, block: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, kv_heads * groups, T, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    k, v = (
        torch.randn(2, kv_heads, T, 4, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    behind = torch.arange(T)[:, None] - torch.arange(T)
    mask = (behind >= 0) & (behind < (window or T))
    weights = attention_scores(q, k, mask, causal=False, scale=0.4).softmax(-1)
    expected = weights @ v.repeat_interleave(groups, 1)
    found = blocked_attention(q, k, v, window, 0.4, rate=0.0, block=block)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    for mine, other in zip(
        torch.autograd.grad(found, (q, k, v), upstream), torch.autograd.grad(expected, (q, k, v), upstream), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_dropped_attention_weights_keep_their_mean() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 2, 100, 8).unbind()
    v = torch.ones(1, 2, 100, 8)
    outputs = torch.stack([blocked_attention(q, k, v, None, 0.3, rate=0.25) for _ in range(200)])
    assert outputs.std(0).min() > 0.01  # without dropout, every mean of ones is 1
    torch.testing.assert_close(outputs.mean((0, 4)), torch.ones(1, 2, 100), atol=0.25, rtol=0)
