"""TransformerLens opens the exported model and computes the same logits and attention patterns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from talewright.config import ModelConfig
from talewright.export import TARGETS
from tests.export.sources import source_of
from tests.model.shapes import token_batch
from tests.model.test_attention import attention_weights

pytest.importorskip("transformer_lens", reason="TransformerLens is not installed (transformer-lens)")
pytestmark = pytest.mark.slow
SIZES = {"n_layers": 3, "n_heads": 4, "d_model": 32, "d_ff": 48, "context_length": 40}
LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "n_kv_heads": 2, "bias": ()}


@pytest.mark.parametrize(
    "shape",
    [
        {"bias": ("mlp",)},
        {"activation": "gelu", "tied": False},
        {"attention": ("global", "local"), "window": 6, "bias": ("out", "mlp")},
        LLAMA,
        {**LLAMA, "qk_norm": True},
    ],
    ids=["gpt2", "gpt2-exact", "neo", "llama", "qwen3"],
)
def test_transformer_lens_computes_the_same_logits_and_patterns(shape, tokenizer, tmp_path):
    from transformer_lens.model_bridge import TransformerBridge  # pyright: ignore[reportMissingImports]

    source = source_of(ModelConfig(**{**SIZES, **shape}), tokenizer)
    TARGETS["hf"].write(source, tmp_path, "f32")
    lens: Any = TransformerBridge.boot_transformers(str(tmp_path), dtype=torch.float32, device="cpu")
    tokens = token_batch(source.recipe.model, 1)
    with torch.no_grad():
        logits, cache = lens.run_with_cache(tokens)
        torch.testing.assert_close(logits, source.model(tokens), atol=1e-4, rtol=0)
    for layer, ours in enumerate(attention_weights(source.model, tokens)):
        torch.testing.assert_close(cache["pattern", layer], ours, atol=1e-5, rtol=0)
    lens.enable_compatibility_mode()  # norms folded and weights centered, as in HookedTransformer
    with torch.no_grad():
        folded, cache = lens.run_with_cache(tokens)
        torch.testing.assert_close(folded.log_softmax(-1), source.model(tokens).log_softmax(-1), atol=1e-3, rtol=0)
    for layer, ours in enumerate(attention_weights(source.model, tokens)):
        torch.testing.assert_close(cache["pattern", layer], ours, atol=1e-4, rtol=0)
