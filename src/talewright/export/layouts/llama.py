"""Llama (Touvron et al. 2023) and Qwen3, a Llama with normalised queries and keys, as transformers has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig
from talewright.export.layouts.rules import ACTIVATIONS, Layout, Rule, first_reason, head_rows, is_local


class Llama(Layout):
    architecture = "LlamaForCausalLM"
    model_type = "llama"

    def why_not(self, config: ModelConfig) -> str | None:
        return _reason(config) or first_reason(
            (config.qk_norm, "it normalises queries and keys"),
            (is_local(config), "some of its layers see a local window only"),
        )

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        return {**_settings(config), "attention_bias": _attention_bias(config), "mlp_bias": "mlp" in config.bias}

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return (*(("qkv", "out") if _attention_bias(config) else ()), *(("mlp",) if "mlp" in config.bias else ()))

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield Rule("embedding", ("model.embed_tokens",), ())
        yield Rule("norm", ("model.norm",), ())
        yield Rule("head", ("lm_head",), ())
        for i in range(config.n_layers):
            block, layer = f"blocks.{i}", f"model.layers.{i}"
            qkv = tuple(f"{layer}.self_attn.{each}_proj" for each in "qkv")
            gated = tuple(f"{layer}.mlp.{each}_proj" for each in ("gate", "up"))
            yield Rule(f"{block}.norm1", (f"{layer}.input_layernorm",), ())
            yield Rule(f"{block}.norm2", (f"{layer}.post_attention_layernorm",), ())
            yield Rule(f"{block}.attention.qkv", qkv, head_rows(config))
            yield Rule(f"{block}.attention.out", (f"{layer}.self_attn.o_proj",), ())
            yield Rule(f"{block}.attention.q_norm", (f"{layer}.self_attn.q_norm",), ())
            yield Rule(f"{block}.attention.k_norm", (f"{layer}.self_attn.k_norm",), ())
            yield Rule(f"{block}.mlp.up", gated, (config.d_ff, config.d_ff))
            yield Rule(f"{block}.mlp.down", (f"{layer}.mlp.down_proj",), ())


class Qwen3(Llama):
    architecture = "Qwen3ForCausalLM"
    model_type = "qwen3"

    def why_not(self, config: ModelConfig) -> str | None:
        return _reason(config) or first_reason(
            (not config.qk_norm, "it does not normalise queries and keys"),
            ("mlp" in config.bias, "its feed-forward layer has biases"),
        )

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        kinds = ["sliding_attention" if config.layer_window(i) else "full_attention" for i in range(config.n_layers)]
        local = "sliding_attention" in kinds
        window = {"use_sliding_window": True, "sliding_window": config.window} if local else {}
        return {
            **_settings(config),
            "attention_bias": _attention_bias(config),
            "use_sliding_window": False,
            "sliding_window": None,
            "layer_types": kinds,
            **window,
        }


def _reason(config: ModelConfig) -> str | None:
    return first_reason(
        (config.norm != "rmsnorm", "it has LayerNorm where the model there has RMSNorm"),
        (
            config.norm_placement != "pre",
            "its norms stand after the residual sum (post-LN), there before each sub-layer",
        ),
        (config.positions != "rotary", f"its positions are {config.positions}, there rotary"),
        (config.embedding_scaled, "its embedding is scaled"),
        (config.activation != "swiglu", "its feed-forward layer is not gated (SwiGLU)"),
        (not config.attention_scaled, "its attention scores are not scaled"),
    )


def _attention_bias(config: ModelConfig) -> bool:
    return "qkv" in config.bias or "out" in config.bias


def _settings(config: ModelConfig) -> dict[str, Any]:
    return {
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": ACTIVATIONS[config.activation],
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rotary_base,
        "rope_scaling": None,
        "attention_dropout": config.dropout if "attention" in config.dropout_sites else 0.0,
    }
