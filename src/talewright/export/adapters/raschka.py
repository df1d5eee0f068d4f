"""The GPT of "Build a Large Language Model (From Scratch)" (Raschka 2024), as `small_llm_gpt2` models are published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talewright.config import ModelConfig
from talewright.export.adapters.rules import Layout, Rule, head_rows
from talewright.export.adapters.settings import Settings

NORM = {"weight": "scale", "bias": "shift"}


class Textbook(Layout):
    """Read alone: its own code is needed to run it elsewhere, so nothing is written in it."""

    architecture = "GPTModel"
    model_type = "small_llm_gpt2"
    prefix = "gpt."
    computed = (".att.mask",)

    def why_not(self, config: ModelConfig) -> str | None:
        return "it is read alone"

    def settings(self, config: ModelConfig) -> dict[str, Any]:
        raise NotImplementedError("it is read alone")

    def config(self, settings: Settings) -> ModelConfig:
        d_model = settings.whole("emb_dim")
        qkv = ("qkv",) if settings.yes("qkv_bias", False) else ()
        return ModelConfig(
            n_layers=settings.whole("n_layers"),
            n_heads=settings.whole("n_heads"),
            d_model=d_model,
            d_ff=4 * d_model,
            vocab_size=settings.whole("vocab_size"),
            context_length=settings.whole("context_length"),
            activation="gelu_tanh",
            bias=(*qkv, "out", "mlp"),
            tied=settings.yes("tie_word_embeddings", True),
            dropout=settings.number("drop_rate", 0.0),
        )

    def biases(self, config: ModelConfig) -> tuple[str, ...]:
        return config.bias

    def names(self, config: ModelConfig) -> Iterator[Rule]:
        yield Rule("embedding", ("gpt.tok_emb",))
        yield Rule("positions", ("gpt.pos_emb",))
        yield Rule("norm", ("gpt.final_norm",), kinds=NORM)
        yield Rule("head", ("gpt.out_head",))
        for i in range(config.n_layers):
            block, theirs = f"blocks.{i}", f"gpt.trf_blocks.{i}"
            qkv = tuple(f"{theirs}.att.W_{each}" for each in ("query", "key", "value"))
            yield Rule(f"{block}.norm1", (f"{theirs}.norm1",), kinds=NORM)
            yield Rule(f"{block}.norm2", (f"{theirs}.norm2",), kinds=NORM)
            yield Rule(f"{block}.attention.qkv", qkv, head_rows(config))
            yield Rule(f"{block}.attention.out", (f"{theirs}.att.out_proj",))
            yield Rule(f"{block}.mlp.up", (f"{theirs}.ff.layers.0",))
            yield Rule(f"{block}.mlp.down", (f"{theirs}.ff.layers.2",))
