"""GPT-2 (Radford et al. 2019) and GPT-Neo (Black et al. 2021) as transformers has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig
from talewright.export.adapters.rules import (
    ACTIVATIONS,
    Layout,
    Rule,
    first_reason,
    gpt_reason,
    head_rows,
    is_local,
    shortest_period,
)
from talewright.export.adapters.settings import Settings

KNOWN = {theirs: ours for ours, theirs in ACTIVATIONS.items() if ours != "swiglu"} | {"gelu_pytorch_tanh": "gelu_tanh"}


class GPT2(Layout):
    architecture = "GPT2LMHeadModel"
    model_type = "gpt2"
    prefix = "transformer."
    computed = (".attn.bias", ".attn.masked_bias")

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

    def config(self, settings: Settings) -> ModelConfig:
        settings.must_be("scale_attn_by_inverse_layer_idx", False)
        settings.must_be("add_cross_attention", False)
        d_model = settings.whole("n_embd")
        return ModelConfig(
            n_layers=settings.whole("n_layer"),
            n_heads=settings.whole("n_head"),
            d_model=d_model,
            d_ff=settings.whole("n_inner", 4 * d_model),
            vocab_size=settings.whole("vocab_size"),
            context_length=settings.whole("n_positions"),
            norm_eps=settings.number("layer_norm_epsilon", 1e-5),
            activation=settings.one_of("activation_function", KNOWN, "gelu_new"),
            attention_scaled=settings.yes("scale_attn_weights", True),
            tied=settings.yes("tie_word_embeddings", True),
            **settings.dropout(embedding="embd_pdrop", attention="attn_pdrop", residual="resid_pdrop"),
        )

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return ("qkv", "out", "mlp")

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield from _frame()
        for i in range(config.n_layers):
            block, h = f"blocks.{i}", f"transformer.h.{i}"
            yield Rule(f"{block}.norm1", (f"{h}.ln_1",))
            yield Rule(f"{block}.norm2", (f"{h}.ln_2",))
            yield Rule(f"{block}.attention.qkv", (f"{h}.attn.c_attn",), transposed=True)
            yield Rule(f"{block}.attention.out", (f"{h}.attn.c_proj",), transposed=True)
            yield Rule(f"{block}.mlp.up", (f"{h}.mlp.c_fc",), transposed=True)
            yield Rule(f"{block}.mlp.down", (f"{h}.mlp.c_proj",), transposed=True)


class GPTNeo(Layout):
    architecture = "GPTNeoForCausalLM"
    model_type = "gpt_neo"
    prefix = "transformer."
    computed = (".attn.attention.bias", ".attn.attention.masked_bias")

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

    def config(self, settings: Settings) -> ModelConfig:
        d_model, layers = settings.whole("hidden_size"), settings.whole("num_layers")
        return ModelConfig(
            n_layers=layers,
            n_heads=settings.whole("num_heads"),
            d_model=d_model,
            d_ff=settings.whole("intermediate_size", 4 * d_model),
            vocab_size=settings.whole("vocab_size"),
            context_length=settings.whole("max_position_embeddings"),
            norm_eps=settings.number("layer_norm_epsilon", 1e-5),
            activation=settings.one_of("activation_function", KNOWN, "gelu_new"),
            bias=("out", "mlp"),
            attention=_kinds(settings, layers),
            window=settings.whole("window_size", 256),
            attention_scaled=False,
            tied=settings.yes("tie_word_embeddings", True),
            **settings.dropout(embedding="embed_dropout", attention="attention_dropout", residual="resid_dropout"),
        )

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return ("out", "mlp")

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield from _frame()
        for i in range(config.n_layers):
            block, h = f"blocks.{i}", f"transformer.h.{i}"
            qkv = tuple(f"{h}.attn.attention.{each}_proj" for each in "qkv")
            yield Rule(f"{block}.norm1", (f"{h}.ln_1",))
            yield Rule(f"{block}.norm2", (f"{h}.ln_2",))
            yield Rule(f"{block}.attention.qkv", qkv, head_rows(config))
            yield Rule(f"{block}.attention.out", (f"{h}.attn.attention.out_proj",))
            yield Rule(f"{block}.mlp.up", (f"{h}.mlp.c_fc",))
            yield Rule(f"{block}.mlp.down", (f"{h}.mlp.c_proj",))


def _frame() -> Iterator[Rule]:
    yield Rule("embedding", ("transformer.wte",))
    yield Rule("positions", ("transformer.wpe",))
    yield Rule("norm", ("transformer.ln_f",))
    yield Rule("head", ("lm_head",))


def _kinds(settings: Settings, layers: int) -> Any:
    """The layers' reach, of attention_types such as [[["global", "local"], 4]]."""
    try:
        types = settings.values.get("attention_types", [[["global", "local"], layers // 2]])
        kinds = [kind for some, times in types for _ in range(times) for kind in some]
    except (TypeError, ValueError):
        kinds = []
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        raise settings.wrong("attention_types", f'{layers} of "global" and "local" would be right, one for each layer')
    return shortest_period(kinds)


def _dropout(config: ModelConfig, site: str) -> float:
    return config.dropout if site in config.dropout_sites else 0.0
