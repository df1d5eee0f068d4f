"""The GPT of "Build a Large Language Model (From Scratch)" (Raschka 2024), as `small_llm_gpt2` models are published."""

from __future__ import annotations

from typing import Any, ClassVar

from talewright.config import ModelConfig
from talewright.export.adapters.base import Adapter, Fields
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.adapters.tensor_map import TensorMap


class RaschkaAdapter(Adapter):
    """For import only: nothing is exported to it, since running it needs the code of the book."""

    architecture = "GPTModel"
    aliases = ("SmallLLMForCausalLM",)
    model_type = "small_llm_gpt2"
    prefix = "gpt."
    computed = (".att.mask",)
    fixed: ClassVar[dict[str, Any]] = {"activation": "gelu_tanh"}
    fields: ClassVar[Fields] = {
        "n_layers": ("n_layers", None),
        "n_heads": ("n_heads", None),
        "d_model": ("emb_dim", None),
        "vocab_size": ("vocab_size", None),
        "context_length": ("context_length", None),
        "tied": ("tie_word_embeddings", True),
    }
    tensor_map = TensorMap(
        {
            "embedding": "gpt.tok_emb",
            "positions": "gpt.pos_emb",
            "norm": "gpt.final_norm",
            "head": "gpt.out_head",
            "norm1": "gpt.trf_blocks.{i}.norm1",
            "norm2": "gpt.trf_blocks.{i}.norm2",
            "attention.qkv": tuple(f"gpt.trf_blocks.{{i}}.att.W_{each}" for each in ("query", "key", "value")),
            "attention.out": "gpt.trf_blocks.{i}.att.out_proj",
            "mlp.up": "gpt.trf_blocks.{i}.ff.layers.0",
            "mlp.down": "gpt.trf_blocks.{i}.ff.layers.2",
        },
        norm_kinds={"weight": "scale", "bias": "shift"},
    )

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return "this class is for import only"

    def to_json(self, config: ModelConfig) -> dict[str, Any]:
        raise NotImplementedError("this class is for import only")

    def from_json(self, json: ConfigJson) -> ModelConfig:
        values = self.fields_from_json(json)
        values["dropout"] = json.number("drop_rate", 0.0)
        qkv = ("qkv",) if json.boolean("qkv_bias", False) else ()
        return ModelConfig(**values, d_ff=4 * values["d_model"], bias=(*qkv, "out", "mlp"))
