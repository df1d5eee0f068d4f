"""Llama (Touvron et al. 2023) and Qwen3, a Llama with normalised queries and keys, as transformers has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.adapters.rules import (
    ACTIVATIONS,
    Layout,
    Rule,
    common_reasons,
    first_reason,
    head_rows,
    is_local,
    shortest_period,
)
from talewright.export.adapters.settings import Settings


class Llama(Layout):
    architecture = "LlamaForCausalLM"
    model_type = "llama"
    prefix = "model."
    computed = ("rotary_emb.inv_freq",)

    def why_not(self, config: ModelConfig) -> str | None:
        return _reason(config) or first_reason(
            (config.qk_norm, "it normalises queries and keys"),
            (is_local(config), "some of its layers see a local window only"),
        )

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        return {**_settings(config), "attention_bias": _attention_bias(config), "mlp_bias": "mlp" in config.bias}

    def config(self, settings: Settings) -> ModelConfig:
        settings.must_be("pretraining_tp", 1)
        attention = ("qkv", "out") if settings.yes("attention_bias", False) else ()
        mlp = ("mlp",) if settings.yes("mlp_bias", False) else ()
        return ModelConfig(**_shape(settings, head_dim=None), bias=(*attention, *mlp))

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return (*(("qkv", "out") if _attention_bias(config) else ()), *(("mlp",) if "mlp" in config.bias else ()))

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield Rule("embedding", ("model.embed_tokens",))
        yield Rule("norm", ("model.norm",))
        yield Rule("head", ("lm_head",))
        for i in range(config.n_layers):
            block, layer = f"blocks.{i}", f"model.layers.{i}"
            qkv = tuple(f"{layer}.self_attn.{each}_proj" for each in "qkv")
            gated = tuple(f"{layer}.mlp.{each}_proj" for each in ("gate", "up"))
            yield Rule(f"{block}.norm1", (f"{layer}.input_layernorm",))
            yield Rule(f"{block}.norm2", (f"{layer}.post_attention_layernorm",))
            yield Rule(f"{block}.attention.qkv", qkv, head_rows(config))
            yield Rule(f"{block}.attention.out", (f"{layer}.self_attn.o_proj",))
            yield Rule(f"{block}.attention.q_norm", (f"{layer}.self_attn.q_norm",))
            yield Rule(f"{block}.attention.k_norm", (f"{layer}.self_attn.k_norm",))
            yield Rule(f"{block}.mlp.up", gated, (config.d_ff, config.d_ff))
            yield Rule(f"{block}.mlp.down", (f"{layer}.mlp.down_proj",))


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
        return {
            **_settings(config),
            "attention_bias": _attention_bias(config),
            "use_sliding_window": local,
            "sliding_window": config.window if local else None,
            "max_window_layers": 0 if local else config.n_layers,
            "layer_types": kinds,
        }

    def config(self, settings: Settings) -> ModelConfig:
        bias = ("qkv", "out") if settings.yes("attention_bias", False) else ()
        return ModelConfig(**_shape(settings, head_dim=128), bias=bias, qk_norm=True, **_reach(settings))


def _reason(config: ModelConfig) -> str | None:
    return first_reason(
        (config.norm != "rmsnorm", "it has LayerNorm where the model there has RMSNorm"),
        *common_reasons(config),
        (config.positions != "rotary", f"its positions are {config.positions}, there rotary"),
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


def _shape(settings: Settings, head_dim: int | None) -> dict[str, Any]:
    """What a Llama and a Qwen3 have in common; `head_dim` is the class's default width of a head, None where it is
    d_model / n_heads.
    """
    settings.must_be("hidden_act", "silu", "swish")
    d_model, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    if settings.whole("head_dim", head_dim or d_model // heads) * heads != d_model:
        raise settings.wrong("head_dim", f"our heads share out hidden_size: {d_model} / {heads}")
    return {
        "n_layers": settings.whole("num_hidden_layers"),
        "n_heads": heads,
        "n_kv_heads": settings.whole("num_key_value_heads", heads),
        "d_model": d_model,
        "d_ff": settings.whole("intermediate_size"),
        "vocab_size": settings.whole("vocab_size"),
        "context_length": settings.whole("max_position_embeddings"),
        "norm": "rmsnorm",
        "norm_eps": settings.number("rms_norm_eps", 1e-6),
        "positions": "rotary",
        "rotary_base": _rotary_base(settings),
        "activation": "swiglu",
        "tied": settings.yes("tie_word_embeddings", False),
        **settings.dropout(attention="attention_dropout"),
    }


def _rotary_base(settings: Settings) -> float:
    """Of rope_theta, or of rope_parameters, where newer files have it."""
    newer = settings.values.get("rope_parameters") or settings.values.get("rope_scaling") or {}
    if not isinstance(newer, dict) or newer.get("rope_type", newer.get("type", "default")) != "default":
        raise UserError(f"{settings.where} stretches its rotary positions (rope_scaling); our model does not")
    if newer.get("partial_rotary_factor", 1.0) != 1.0:
        raise UserError(f"{settings.where} turns a part of each head only (partial_rotary_factor); our model all of it")
    return Settings({**settings.values, **newer}, settings.where).number("rope_theta", 10000.0)


def _reach(settings: Settings) -> dict[str, Any]:
    """Which layers see a window only, and how wide it is."""
    layers = settings.whole("num_hidden_layers")
    if not settings.yes("use_sliding_window", False):
        return {}
    first = settings.whole("max_window_layers", 28, least=0)  # the layers before it are global
    default = ["full_attention" if i < first else "sliding_attention" for i in range(layers)]
    names = {"full_attention": "global", "sliding_attention": "local"}
    kinds = [names.get(kind) for kind in settings.values.get("layer_types") or default]
    if len(kinds) != layers or None in kinds:
        raise settings.wrong("layer_types", f"{layers} of " + " and ".join(names) + " would be right")
    attention = shortest_period([str(kind) for kind in kinds])
    return {"attention": attention, "window": settings.whole("sliding_window", 4096)}
