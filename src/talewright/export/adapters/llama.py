"""Llama (Touvron et al. 2023) and Qwen3, a Llama with normalized queries and keys, as transformers has them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from talewright.config import ModelConfig
from talewright.export.adapters.base import (
    ACTIVATIONS,
    Adapter,
    Fields,
    difference,
    first_reason,
    local_reason,
    shortest_period,
)
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.adapters.tensor_map import TensorMap

ATTENTION = {"full_attention": "global", "sliding_attention": "local"}


class LlamaAdapter(Adapter):
    architecture = "LlamaForCausalLM"
    model_type = "llama"
    prefix = "model."
    computed = ("rotary_emb.inv_freq",)
    fixed: ClassVar[dict[str, Any]] = {
        "norm": "rmsnorm",
        "norm_placement": "pre",
        "embedding_scaled": False,
        "positions": "rotary",
        "activation": "swiglu",
        "attention_scaled": True,
        "qk_norm": False,
        "value_residual": False,
        "short_convolution": False,
        "bigrams": 0,
    }
    fields: ClassVar[Fields] = {
        "context_length": ("max_position_embeddings", None),
        "d_model": ("hidden_size", None),
        "d_ff": ("intermediate_size", None),
        "n_layers": ("num_hidden_layers", None),
        "n_heads": ("num_attention_heads", None),
        "n_kv_heads": ("num_key_value_heads", None),
        "vocab_size": ("vocab_size", None),
        "norm_eps": ("rms_norm_eps", 1e-6),
        "tied": ("tie_word_embeddings", False),
    }
    dropout: ClassVar[dict[str, str]] = {"attention": "attention_dropout"}
    tensor_map = TensorMap(
        {
            "embedding": "model.embed_tokens",
            "norm": "model.norm",
            "head": "lm_head",
            "norm1": "model.layers.{i}.input_layernorm",
            "norm2": "model.layers.{i}.post_attention_layernorm",
            "attention.qkv": tuple(f"model.layers.{{i}}.self_attn.{each}_proj" for each in "qkv"),
            "attention.out": "model.layers.{i}.self_attn.o_proj",
            "attention.q_norm": "model.layers.{i}.self_attn.q_norm",
            "attention.k_norm": "model.layers.{i}.self_attn.k_norm",
            "mlp.up": ("model.layers.{i}.mlp.gate_proj", "model.layers.{i}.mlp.up_proj"),
            "mlp.down": "model.layers.{i}.mlp.down_proj",
        }
    )

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return difference(config, self.fixed) or local_reason(config)

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        return {**self.common_to_json(config), "mlp_bias": "mlp" in config.bias}

    def from_json(self, json: ConfigJson) -> ModelConfig:
        json.require("pretraining_tp", 1)
        mlp = ("mlp",) if json.boolean("mlp_bias", False) else ()
        return ModelConfig(**self.common_from_json(json, head_dim=None), bias=(*_attention_bias(json), *mlp))

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        attention = ("qkv", "out") if _has_attention_bias(config) else ()
        return (*attention, *(("mlp",) if "mlp" in config.bias else ()))

    def common_to_json(self, config: ModelConfig) -> dict[str, Any]:
        return {
            **self.fields_to_json(config),
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "hidden_act": ACTIVATIONS[config.activation],
            "rope_theta": config.rotary_base,
            "rope_scaling": None,
            "attention_bias": _has_attention_bias(config),
        }

    def common_from_json(self, json: ConfigJson, head_dim: int | None) -> dict[str, Any]:
        """The settings that Llama and Qwen3 share. head_dim: the class's default; None means d_model / n_heads."""
        json.require("hidden_act", "silu", "swish")
        json.require("is_causal", True)
        d_model, heads = json.integer("hidden_size"), json.integer("num_attention_heads")
        if json.integer("head_dim", head_dim or d_model // heads) * heads != d_model:
            raise json.error("head_dim", f"our model supports only hidden_size / heads: {d_model} / {heads}")
        return {**self.fields_from_json(json, n_kv_heads=heads), "rotary_base": _rotary_base(json)}


class Qwen3Adapter(LlamaAdapter):
    architecture = "Qwen3ForCausalLM"
    model_type = "qwen3"
    fixed: ClassVar[dict[str, Any]] = {**LlamaAdapter.fixed, "qk_norm": True}

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return difference(config, self.fixed) or first_reason(
            ("mlp" in config.bias, "its feed-forward layer has biases"),
        )

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        kinds = ["sliding_attention" if config.layer_window(i) else "full_attention" for i in range(config.n_layers)]
        local = "sliding_attention" in kinds
        return {
            **self.common_to_json(config),
            "use_sliding_window": local,
            "sliding_window": config.window if local else None,
            "max_window_layers": 0 if local else config.n_layers,
            "layer_types": kinds,
        }

    def from_json(self, json: ConfigJson) -> ModelConfig:
        common = self.common_from_json(json, head_dim=128)
        return ModelConfig(**common, bias=_attention_bias(json), **_local_attention(json, common["n_layers"]))


def _has_attention_bias(config: ModelConfig) -> bool:
    return "qkv" in config.bias or "out" in config.bias


def _attention_bias(json: ConfigJson) -> tuple[Literal["qkv", "out"], ...]:
    return ("qkv", "out") if json.boolean("attention_bias", False) else ()


def _rotary_base(json: ConfigJson) -> float:
    """rope_theta, which newer files have inside rope_parameters."""
    bases = set()
    for place in ("rope_parameters", "rope_scaling"):
        values = json.values.get(place) or {}
        kind = values.get("rope_type", values.get("type", "default")) if isinstance(values, dict) else None
        if kind != "default" or any(isinstance(value, dict) for value in values.values()):
            raise json.error(place, "scaled rotary positions, or different ones per layer, are not supported")
        if values.get("partial_rotary_factor") not in (None, 1.0):
            raise json.error(place, "partial_rotary_factor is not 1: our model rotates whole heads")
        if "rope_theta" in values:
            bases.add(ConfigJson(values, f"{json.path}, {place}").number("rope_theta"))
    if json.values.get("partial_rotary_factor") not in (None, 1.0):
        raise json.error("partial_rotary_factor", "our model rotates whole heads: use 1.0")
    if json.values.get("rope_theta") is not None or not bases:
        bases.add(json.number("rope_theta", 10000.0))
    if len(bases) > 1:
        raise json.error("rope_theta", f"rope_parameters or rope_scaling says {min(bases)} or {max(bases)}; give one")
    return bases.pop()


def _local_attention(json: ConfigJson, layers: int) -> dict[str, Any]:
    """The layers with local attention, and their window."""
    listed = json.values.get("layer_types")
    if not json.boolean("use_sliding_window", False):
        if listed is not None and listed != ["full_attention"] * layers:
            raise json.error("layer_types", f"without use_sliding_window, give {layers} times full_attention")
        return {}
    first = json.integer("max_window_layers", 28, least=0)  # the layers before it are global
    default = ["full_attention" if i < first else "sliding_attention" for i in range(layers)]
    kinds = [ATTENTION.get(str(kind)) for kind in (listed if isinstance(listed, list) else default)]
    if len(kinds) != layers or None in kinds:
        raise json.error("layer_types", f"give {layers} of " + " and ".join(ATTENTION))
    attention = shortest_period([str(kind) for kind in kinds])
    if "local" in attention and json.values.get("sliding_window", 0) is None:  # the default is not for null
        raise json.error("sliding_window", "with use_sliding_window, give the tokens that sliding_attention sees")
    return {"attention": attention, "window": json.integer("sliding_window", 4096)}
