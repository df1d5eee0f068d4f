"""Small model shapes for Hypothesis to draw, and models of them whose weights are large enough to matter."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import GPT

SEEDS = st.integers(0, 2**31)


@st.composite
def model_configs(draw: st.DrawFn, **fixed: Any) -> ModelConfig:
    """Any shape that a recipe can describe, small; `fixed` settings have their given values. Without dropout."""
    positions = fixed.get("positions") or draw(st.sampled_from(["learned", "sinusoidal", "rotary"]))
    kv_heads = draw(st.integers(1, 3))
    groups = 1 if fixed.get("n_kv_heads", 0) is None else draw(st.integers(1, 3))
    least = -(-8 // (kv_heads * groups))  # a norm over fewer than 8 values magnifies rounding without bound
    head_dim = draw(st.integers(least, 10).map(lambda d: d + d % 2 if positions != "learned" else d))
    drawn = {
        "n_layers": draw(st.integers(1, 3)),
        "n_heads": kv_heads * groups,
        "n_kv_heads": None if groups == 1 and draw(st.booleans()) else kv_heads,
        "d_model": kv_heads * groups * head_dim,
        "d_ff": draw(st.integers(1, 24)),
        "vocab_size": draw(st.integers(2, 40)),
        "context_length": draw(st.integers(1, 20)),
        "norm": draw(st.sampled_from(["layernorm", "rmsnorm"])),
        "norm_placement": draw(st.sampled_from(["pre", "post"])),
        "norm_eps": draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
        "qk_norm": draw(st.booleans()),
        # no class of other programs, whose settings are fixed, has these
        "value_residual": "qk_norm" not in fixed and draw(st.booleans()),
        "short_convolution": "qk_norm" not in fixed and draw(st.booleans()),
        "bigrams": draw(st.sampled_from([0, 1, 7, 64])) if "qk_norm" not in fixed else 0,
        "positions": positions,
        "rotary_base": draw(st.sampled_from([100.0, 10000.0])),
        "embedding_scaled": draw(st.booleans()),
        "activation": draw(st.sampled_from(["gelu_tanh", "gelu", "relu2", "swiglu"])),
        "bias": tuple(draw(st.lists(st.sampled_from(["qkv", "out", "mlp"]), unique=True))),
        "attention": tuple(draw(st.lists(st.sampled_from(["global", "local"]), min_size=1, max_size=3))),
        "window": draw(st.integers(1, 12)),
        "attention_scaled": draw(st.booleans()),
        "tied": draw(st.booleans()),
    }
    return ModelConfig(**{**drawn, **fixed})


def lively_model(config: ModelConfig, seed: int) -> GPT:
    """The model with every weight drawn far from 0, norms and biases too, so that no part of it goes unseen."""
    model = GPT(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(0.3 * noise + (1.0 if name.endswith("weight") else 0.0))
            else:
                parameter.copy_(0.7 * noise * parameter.shape[1] ** -0.5)
    return model


def token_batch(config: ModelConfig, seed: int, rows: int = 2, T: int | None = None) -> Tensor:
    """Random ids, (rows, T); T is the whole context unless given."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (rows, T or config.context_length), generator=generator)
