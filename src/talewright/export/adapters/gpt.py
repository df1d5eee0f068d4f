"""GPT-2 (Radford et al. 2019) and GPT-Neo (Black et al. 2021) as transformers has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from talewright.config import ModelConfig
from talewright.export.adapters.base import (
    ACTIVATIONS,
    Adapter,
    common_reasons,
    first_reason,
    is_local,
    shortest_period,
)
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.adapters.tensor_map import TensorMap

KNOWN = {theirs: ours for ours, theirs in ACTIVATIONS.items() if ours != "swiglu"} | {"gelu_pytorch_tanh": "gelu_tanh"}
MODULES = {
    "embedding": "transformer.wte",
    "positions": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
    "norm1": "transformer.h.{i}.ln_1",
    "norm2": "transformer.h.{i}.ln_2",
    "mlp.up": "transformer.h.{i}.mlp.c_fc",
    "mlp.down": "transformer.h.{i}.mlp.c_proj",
}


class GPT2Adapter(Adapter):
    architecture = "GPT2LMHeadModel"
    model_type = "gpt2"
    prefix = "transformer."
    computed = (".attn.bias", ".attn.masked_bias")
    sizes: ClassVar[Mapping[str, str]] = {
        "context_length": "n_positions",
        "d_model": "n_embd",
        "n_layers": "n_layer",
        "n_heads": "n_head",
        "d_ff": "n_inner",
        "vocab_size": "vocab_size",
    }
    dropout: ClassVar[Mapping[str, str]] = {
        "residual": "resid_pdrop",
        "embedding": "embd_pdrop",
        "attention": "attn_pdrop",
    }
    tensor_map = TensorMap(
        {
            **MODULES,
            "attention.qkv": "transformer.h.{i}.attn.c_attn",
            "attention.out": "transformer.h.{i}.attn.c_proj",
        },
        transposed=True,
    )

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return _gpt_reason(config) or first_reason(
            (is_local(config), "some of its layers have local attention"),
            (not config.attention_scaled, "its attention scores are not scaled"),
        )

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        return {**self.common_to_json(config), "scale_attn_weights": True}

    def from_json(self, json: ConfigJson) -> ModelConfig:
        json.require("scale_attn_by_inverse_layer_idx", False)
        json.require("add_cross_attention", False)
        scaled = json.boolean("scale_attn_weights", True)
        return ModelConfig(**self.common_from_json(json), attention_scaled=scaled)

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        return ("qkv", "out", "mlp")

    def common_to_json(self, config: ModelConfig) -> dict[str, Any]:
        activation = ACTIVATIONS[config.activation]
        own = {"activation_function": activation, "layer_norm_epsilon": config.norm_eps}
        return self.sizes_to_json(config) | own

    def common_from_json(self, json: ConfigJson) -> dict[str, Any]:
        return {
            **self.sizes_from_json(json, d_ff=4 * json.integer(self.sizes["d_model"])),
            "norm_eps": json.number("layer_norm_epsilon", 1e-5),
            "activation": json.choice("activation_function", KNOWN, "gelu_new"),
            "tied": json.boolean("tie_word_embeddings", True),
        }


class GPTNeoAdapter(GPT2Adapter):
    architecture = "GPTNeoForCausalLM"
    model_type = "gpt_neo"
    computed = (".attn.attention.bias", ".attn.attention.masked_bias")
    sizes: ClassVar[Mapping[str, str]] = {
        "context_length": "max_position_embeddings",
        "d_model": "hidden_size",
        "n_layers": "num_layers",
        "n_heads": "num_heads",
        "d_ff": "intermediate_size",
        "vocab_size": "vocab_size",
    }
    dropout: ClassVar[Mapping[str, str]] = {
        "residual": "resid_dropout",
        "embedding": "embed_dropout",
        "attention": "attention_dropout",
    }
    tensor_map = TensorMap(
        {
            **MODULES,
            "attention.qkv": tuple(f"transformer.h.{{i}}.attn.attention.{each}_proj" for each in "qkv"),
            "attention.out": "transformer.h.{i}.attn.attention.out_proj",
        }
    )

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return _gpt_reason(config) or first_reason(
            ("qkv" in config.bias, "its queries, keys and values have biases"),
            (config.attention_scaled, "its attention scores are scaled"),
        )

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        kinds = [config.attention[i % len(config.attention)] for i in range(config.n_layers)]
        own = {"attention_types": [[kinds, 1]], "attention_layers": kinds, "window_size": config.window}
        return self.common_to_json(config) | own

    def from_json(self, json: ConfigJson) -> ModelConfig:
        common = self.common_from_json(json)
        return ModelConfig(
            **common,
            bias=("out", "mlp"),
            attention=_attention_kinds(json, common["n_layers"]),
            window=json.integer("window_size", 256),
            attention_scaled=False,
        )

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        return ("out", "mlp")


def _gpt_reason(config: ModelConfig) -> str | None:
    return first_reason(
        (config.norm != "layernorm", "it has RMSNorm, not LayerNorm"),
        *common_reasons(config),
        (config.positions != "learned", f"its positions are {config.positions}, not learned"),
        (config.qk_norm, "it normalizes queries and keys"),
        (config.kv_heads != config.n_heads, "its heads of keys and values are grouped"),
        (config.activation == "swiglu", "its feed-forward layer is gated (SwiGLU)"),
    )


def _attention_kinds(json: ConfigJson, layers: int) -> Any:
    """Global or local attention by layer, from attention_types such as [[["global", "local"], 4]]."""
    try:
        types = json.values.get("attention_types", [[["global", "local"], layers // 2]])
        kinds = [kind for pattern, times in types for _ in range(times) for kind in pattern]
    except (TypeError, ValueError):
        kinds = []
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        raise json.error("attention_types", f'give {layers} of "global" and "local", one for each layer')
    return shortest_period(kinds)
