"""GPT-2 (Radford et al. 2019) and GPT-Neo (Black et al. 2021) as transformers has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig
from talewright.export.layouts.rules import ACTIVATIONS, Layout, Rule, first_reason, gpt_reason, head_rows, is_local


class GPT2(Layout):
    architecture = "GPT2LMHeadModel"
    model_type = "gpt2"

    def why_not(self, config: ModelConfig) -> str | None:
        return gpt_reason(config) or first_reason(
            (is_local(config), "some of its layers see a local window only"),
            (not config.attention_scaled, "its attention scores are not scaled"),
        )

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        return {
            "n_positions": config.context_length,
            "n_embd": config.d_model,
            "n_layer": config.n_layers,
            "n_head": config.n_heads,
            "n_inner": config.d_ff,
            "activation_function": ACTIVATIONS[config.activation],
            "layer_norm_epsilon": config.norm_eps,
            "resid_pdrop": _dropout(config, "residual"),
            "embd_pdrop": _dropout(config, "embedding"),
            "attn_pdrop": _dropout(config, "attention"),
            "scale_attn_weights": True,
        }

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return ("qkv", "out", "mlp")

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield from _frame(config)
        for i in range(config.n_layers):
            block, h = f"blocks.{i}", f"transformer.h.{i}"
            yield Rule(f"{block}.norm1", (f"{h}.ln_1",), ())
            yield Rule(f"{block}.norm2", (f"{h}.ln_2",), ())
            yield Rule(f"{block}.attention.qkv", (f"{h}.attn.c_attn",), (), transposed=True)
            yield Rule(f"{block}.attention.out", (f"{h}.attn.c_proj",), (), transposed=True)
            yield Rule(f"{block}.mlp.up", (f"{h}.mlp.c_fc",), (), transposed=True)
            yield Rule(f"{block}.mlp.down", (f"{h}.mlp.c_proj",), (), transposed=True)


class GPTNeo(Layout):
    architecture = "GPTNeoForCausalLM"
    model_type = "gpt_neo"

    def why_not(self, config: ModelConfig) -> str | None:
        return gpt_reason(config) or first_reason(
            ("qkv" in config.bias, "its queries, keys and values have biases"),
            (config.attention_scaled, "its attention scores are scaled"),
        )

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        kinds = [config.attention[i % len(config.attention)] for i in range(config.n_layers)]
        return {
            "max_position_embeddings": config.context_length,
            "hidden_size": config.d_model,
            "num_layers": config.n_layers,
            "num_heads": config.n_heads,
            "intermediate_size": config.d_ff,
            "attention_types": [[kinds, 1]],
            "attention_layers": kinds,
            "window_size": config.window,
            "activation_function": ACTIVATIONS[config.activation],
            "layer_norm_epsilon": config.norm_eps,
            "resid_dropout": _dropout(config, "residual"),
            "embed_dropout": _dropout(config, "embedding"),
            "attention_dropout": _dropout(config, "attention"),
        }

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return ("out", "mlp")

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield from _frame(config)
        for i in range(config.n_layers):
            block, h = f"blocks.{i}", f"transformer.h.{i}"
            qkv = tuple(f"{h}.attn.attention.{each}_proj" for each in "qkv")
            yield Rule(f"{block}.norm1", (f"{h}.ln_1",), ())
            yield Rule(f"{block}.norm2", (f"{h}.ln_2",), ())
            yield Rule(f"{block}.attention.qkv", qkv, head_rows(config))
            yield Rule(f"{block}.attention.out", (f"{h}.attn.attention.out_proj",), ())
            yield Rule(f"{block}.mlp.up", (f"{h}.mlp.c_fc",), ())
            yield Rule(f"{block}.mlp.down", (f"{h}.mlp.c_proj",), ())


def _frame(config: ModelConfig) -> Iterator[Rule]:
    yield Rule("embedding", ("transformer.wte",), ())
    yield Rule("positions", ("transformer.wpe",), ())
    yield Rule("norm", ("transformer.ln_f",), ())
    yield Rule("head", ("lm_head",), ())


def _dropout(config: ModelConfig, site: str) -> float:
    return config.dropout if site in config.dropout_sites else 0.0
