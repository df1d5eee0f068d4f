"""GPT-2 (Radford et al. 2019) and GPT-Neo (Black et al. 2021) as transformers has them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar

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
    fixed: ClassVar[dict[str, Any]] = {
        "norm": "layernorm",
        "norm_placement": "pre",
        "embedding_scaled": False,
        "positions": "learned",
        "qk_norm": False,
        "value_residual": False,
        "short_convolution": False,
        "bigrams": 0,
    }
    fields: ClassVar[Fields] = {
        "context_length": ("n_positions", None),
        "d_model": ("n_embd", None),
        "n_layers": ("n_layer", None),
        "n_heads": ("n_head", None),
        "d_ff": ("n_inner", None),
        "vocab_size": ("vocab_size", None),
        "norm_eps": ("layer_norm_epsilon", 1e-5),
        "tied": ("tie_word_embeddings", True),
        "attention_scaled": ("scale_attn_weights", True),
    }
    dropout: ClassVar[dict[str, str]] = {
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

    def stored_map(self, shapes: Mapping[str, tuple[int, ...]]) -> TensorMap:
        """nanoGPT has the same names, but torch's matrices, (out, in). The shape of the fused queries, keys and
        values distinguishes them.
        """
        rows, columns = (*shapes.get("transformer.h.0.attn.c_attn.weight", ()), 0, 0)[:2]
        return NANOGPT_MAP if rows == 3 * columns else self.tensor_map

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return _gpt_reason(config) or local_reason(config) or difference(config, {"attention_scaled": True})

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        return {**self.fields_to_json(config), "activation_function": ACTIVATIONS[config.activation]}

    def from_json(self, json: ConfigJson) -> ModelConfig:
        json.require("scale_attn_by_inverse_layer_idx", False)
        json.require("is_causal", True)
        json.require("add_cross_attention", False)
        return ModelConfig(**self.common_from_json(json))

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        return ("qkv", "out", "mlp")

    def common_from_json(self, json: ConfigJson) -> dict[str, Any]:
        values = self.fields_from_json(json, d_ff=4 * json.integer(self.fields["d_model"][0]))
        return {**values, "activation": json.choice("activation_function", KNOWN, "gelu_new")}


NANOGPT_MAP = TensorMap(GPT2Adapter.tensor_map.modules)


class NanoGPTAdapter(GPT2Adapter):
    """For import only: `model_args` of a checkpoint of nanoGPT (Karpathy 2022) as config.json."""

    architecture = "nanoGPT"
    model_type = "nanogpt"
    fields: ClassVar[Fields] = {
        "context_length": ("block_size", None),
        "d_model": ("n_embd", None),
        "n_layers": ("n_layer", None),
        "n_heads": ("n_head", None),
        "vocab_size": ("vocab_size", None),
    }
    dropout: ClassVar[dict[str, str]] = dict.fromkeys(("residual", "embedding", "attention"), "dropout")
    tensor_map = NANOGPT_MAP

    def from_json(self, json: ConfigJson) -> ModelConfig:
        json.boolean("bias")
        values = self.fields_from_json(json)
        if "activation_function" not in json.values:  # nanoGPT changed it, and its checkpoints do not say when
            raise json.error("activation_function", "write gelu, or gelu_new if an early nanoGPT trained the model")
        activation = json.choice("activation_function", KNOWN, "gelu")
        return ModelConfig(**values, d_ff=4 * values["d_model"], activation=activation)


class GPTNeoAdapter(GPT2Adapter):
    architecture = "GPTNeoForCausalLM"
    model_type = "gpt_neo"
    computed = (".attn.attention.bias", ".attn.attention.masked_bias")
    fields: ClassVar[Fields] = {
        "context_length": ("max_position_embeddings", None),
        "d_model": ("hidden_size", None),
        "n_layers": ("num_layers", None),
        "n_heads": ("num_heads", None),
        "d_ff": ("intermediate_size", None),
        "vocab_size": ("vocab_size", None),
        "norm_eps": ("layer_norm_epsilon", 1e-5),
        "tied": ("tie_word_embeddings", True),
        "window": ("window_size", 256),
    }
    dropout: ClassVar[dict[str, str]] = {
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
        biases = ("qkv" in config.bias, "its queries, keys and values have biases")
        return _gpt_reason(config) or first_reason(biases) or difference(config, {"attention_scaled": False})

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        kinds = [config.attention[i % len(config.attention)] for i in range(config.n_layers)]
        return {**super().to_json(config), "attention_types": [[kinds, 1]], "attention_layers": kinds}

    def stored_map(self, shapes: Mapping[str, tuple[int, ...]]) -> TensorMap:
        return self.tensor_map

    def from_json(self, json: ConfigJson) -> ModelConfig:
        json.require("is_causal", True)
        common = self.common_from_json(json)
        attention = _attention_kinds(json, common["n_layers"])
        return ModelConfig(**common, attention=attention, bias=("out", "mlp"), attention_scaled=False)

    def bias_sites(self, config: ModelConfig) -> tuple[str, ...]:
        return ("out", "mlp")


def _gpt_reason(config: ModelConfig) -> str | None:
    return difference(config, GPT2Adapter.fixed) or first_reason(
        (config.kv_heads != config.n_heads, "its heads of keys and values are grouped"),
        (config.activation == "swiglu", "its feed-forward layer is gated (SwiGLU)"),
    )


def _attention_kinds(json: ConfigJson, layers: int) -> Any:
    """Global or local attention by layer, from attention_types such as [[["global", "local"], 4]], or attention_layers,
    which has each layer's.
    """
    listed = json.values.get("attention_layers")
    default = [[listed, 1]] if listed is not None else [[["global", "local"], layers // 2]]
    try:
        types = json.values.get("attention_types", default)
        found = (kind for pattern, times in types if pattern for _ in range(times) for kind in pattern)
        kinds = [*islice(found, layers + 1)]
    except (TypeError, ValueError):
        kinds = []
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        raise json.error("attention_types", f'give {layers} of "global" and "local", one for each layer')
    if listed is not None and listed != kinds:
        raise json.error("attention_layers", f"attention_types gives {kinds}; both must agree")
    return shortest_period(kinds)
