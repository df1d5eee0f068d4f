"""Random models of transformers' own classes, imported and exported: the same logits, and the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from talewright.config import ModelConfig
from talewright.export import TARGETS, ExportSource
from talewright.export.adapters import choose_adapter
from talewright.export.importers import read_model
from talewright.model.gpt import GPT
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
VOCAB = 300


@st.composite
def foreign(draw: st.DrawFn, kind: str) -> PreTrainedModel:
    """A small model of that class, in any shape that its own configuration allows, with weights far from 0."""
    heads, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    layers, inner = draw(st.integers(1, 3)), draw(st.integers(1, 24))
    context, tied = draw(st.integers(2, 20)), draw(st.booleans())
    eps = draw(st.sampled_from([1e-6, 1e-5, 1e-2]))
    width = 2 * draw(st.integers(4, 6)) * heads * groups
    common: dict[str, Any] = {"vocab_size": VOCAB, "tie_word_embeddings": tied}
    activation = draw(st.sampled_from(["gelu_new", "gelu", "gelu_pytorch_tanh"]))
    if kind == "gpt2":
        own = {"n_positions": context, "n_embd": width, "n_layer": layers, "n_head": heads, "n_inner": inner}
        own |= {"activation_function": activation, "layer_norm_epsilon": eps}
        model = GPT2LMHeadModel(GPT2Config(**own, **common))
    elif kind == "gpt_neo":
        kinds = draw(st.lists(st.sampled_from(["global", "local"]), min_size=layers, max_size=layers))
        own = {"max_position_embeddings": context, "hidden_size": width, "num_layers": layers, "num_heads": heads}
        own |= {"attention_types": [[kinds, 1]], "window_size": draw(st.integers(1, 12)), "intermediate_size": inner}
        own |= {"activation_function": activation, "layer_norm_epsilon": eps}
        model = GPTNeoForCausalLM(GPTNeoConfig(**own, **common))
    else:
        own = {"max_position_embeddings": context, "hidden_size": width, "num_hidden_layers": layers}
        own |= {"num_attention_heads": heads * groups, "num_key_value_heads": heads, "intermediate_size": inner}
        own |= {"rms_norm_eps": eps, "attention_bias": draw(st.booleans()), "head_dim": width // heads // groups}
        own |= {"rope_parameters": {"rope_type": "default", "rope_theta": draw(st.sampled_from([100.0, 10000.0]))}}
        if kind == "llama":
            model = LlamaForCausalLM(LlamaConfig(**own, **common, mlp_bias=draw(st.booleans())))
        else:
            sliding = draw(st.booleans())
            own |= {"use_sliding_window": sliding, "sliding_window": draw(st.integers(1, 12)) if sliding else None}
            own |= {"max_window_layers": draw(st.integers(0, layers))}
            model = Qwen3ForCausalLM(Qwen3Config(**own, **common))
    generator = torch.Generator().manual_seed(draw(SEEDS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            offset = float(parameter.dim() == 1 and name.endswith("weight"))
            parameter.copy_(offset + 0.4 * noise * (1 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5))
    return model.eval()


def saved(model: PreTrainedModel, tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


def source_of(config: ModelConfig, model: GPT, make_source) -> ExportSource:
    import dataclasses

    plain = make_source()
    return dataclasses.replace(plain, model=model, recipe=dataclasses.replace(plain.recipe, model=config))


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neo", "llama", "qwen3"])
@settings(max_examples=12, suppress_health_check=FIXTURES)
@given(data=st.data())
def test_a_foreign_checkpoint_computes_the_same_here_and_is_exported_unchanged(
    kind, data, tokenizer, tmp_path_factory, make_source
):
    theirs = data.draw(foreign(kind))
    folder = saved(theirs, tokenizer, tmp_path_factory.mktemp("theirs"))
    adapter, imported = read_model(folder)
    assert adapter.model_type == kind
    ours = GPT(imported.config).eval()
    ours.load_state_dict(imported.tensors)
    tokens = token_batch(imported.config, 0)
    close(ours(tokens), theirs(tokens).logits)
    out = tmp_path_factory.mktemp("out")
    TARGETS["hf"].write(source_of(imported.config, ours, make_source), out, "f32")
    before, after = load_file(folder / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = AutoModelForCausalLM.from_pretrained(out)
    assert type(again) is type(theirs)
    close(again.eval()(tokens).logits, theirs(tokens).logits)


@settings(max_examples=40, suppress_health_check=FIXTURES)
@given(config=model_configs(vocab_size=VOCAB), seed=SEEDS)
def test_any_model_that_a_published_class_can_hold_computes_the_same_there(config, seed, make_source, tmp_path_factory):
    model = lively_model(config, seed)
    adapter, reason = choose_adapter(config)
    refused = TARGETS["hf"].unsupported_reason(config)
    assert (adapter is None) == (refused is not None)
    if adapter is None:
        assert reason in str(refused)
        assert "--to hf-remote takes any model" in str(refused)
        return
    folder = tmp_path_factory.mktemp("out")
    TARGETS["hf"].write(source_of(config, model, make_source), folder, "f32")
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(theirs).__name__ == adapter.architecture
    tokens = token_batch(config, seed)
    close(theirs(tokens).logits, model(tokens))


GPTS = {"norm": "layernorm", "norm_placement": "pre", "qk_norm": False, "n_kv_heads": None, "vocab_size": VOCAB}
LLAMAS = {
    "norm": "rmsnorm",
    "norm_placement": "pre",
    "activation": "swiglu",
    "positions": "rotary",
    "vocab_size": VOCAB,
}
FAMILIES = {
    "GPT2LMHeadModel": {**GPTS, "attention": ("global",)},
    "GPTNeoForCausalLM": {**GPTS, "attention": ("global", "local"), "bias": ("out",), "window": 1, "context_length": 9},
    "LlamaForCausalLM": {
        **LLAMAS,
        "qk_norm": False,
        "embedding_scaled": False,
        "attention": ("global",),
    },
    "Qwen3ForCausalLM": {**LLAMAS, "qk_norm": True, "embedding_scaled": False, "bias": ("qkv",)},
}


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=12, suppress_health_check=FIXTURES)
@given(data=st.data())
def test_each_class_computes_the_same(name, data, make_source, tmp_path_factory):
    """Random shapes rarely fit one; here the settings that are folded into the weights vary too."""
    fixed = dict(FAMILIES[name])
    if name.startswith("GPT"):
        fixed["positions"] = data.draw(st.sampled_from(["learned", "sinusoidal"]))
        fixed["activation"] = data.draw(st.sampled_from(["gelu", "gelu_tanh", "relu2"]))
    config = data.draw(model_configs(**fixed))
    if name == "GPTNeoForCausalLM" and config.n_layers == 1:
        return  # its single layer is global
    model = lively_model(config, data.draw(SEEDS))
    folder = tmp_path_factory.mktemp("out")
    assert TARGETS["hf"].unsupported_reason(config) is None
    TARGETS["hf"].write(source_of(config, model, make_source), folder, "f32")
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(theirs).__name__ in (name, "GPTNeoForCausalLM" if name == "GPT2LMHeadModel" else name)
    tokens = token_batch(config, 5)
    close(theirs(tokens).logits, model(tokens))


@pytest.mark.parametrize("shape", [{}, {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}])
def test_what_no_other_model_has_is_exported_only_with_our_own_code(shape):
    plain, post = ModelConfig(**shape), ModelConfig(**shape, norm_placement="post")
    for name, target in TARGETS.items():
        refused = target.unsupported_reason(post)
        assert (refused is None) == (name in ("hf-remote", "onnx", "space", "web")), name
        assert (
            refused is None
            or target.unsupported_reason(plain) is not None
            or "model.norm_placement is post, not pre" in refused
        )


def test_raschkas_gpt_is_imported_with_or_without_its_prefix(tokenizer, tmp_path):
    import dataclasses

    config = ModelConfig(
        n_layers=2, n_heads=2, d_model=16, d_ff=64, vocab_size=VOCAB, context_length=12, bias=("out", "mlp")
    )
    for prefix, tied, has_head in (("gpt.", True, True), ("", True, False), ("gpt.", False, True)):
        shape = dataclasses.replace(config, tied=tied)
        model = lively_model(shape, 3)
        folder = tmp_path / f"{prefix}{tied}"
        folder.mkdir()
        tokenizer.save(folder)
        tensors = raschka_tensors(model, prefix)
        if not has_head:
            del tensors[f"{prefix}out_head.weight"]
        save_file(tensors, folder / "model.safetensors")
        settings_ = {"model_type": "small_llm_gpt2", "architectures": ["SmallLLM"], "tie_word_embeddings": True}
        settings_ |= {"emb_dim": 16, "n_heads": 2, "n_layers": 2, "drop_rate": 0.1, "qkv_bias": False}
        settings_ |= {"context_length": 12, "vocab_size": VOCAB, "n_embd": 768, "n_layer": 12}
        (folder / "config.json").write_text(json.dumps(settings_))
        _, imported = read_model(folder)
        assert imported.config.tied is tied  # a separate output layer is kept although the config says tied
        assert imported.config.dropout == 0.1
        ours = GPT(imported.config).eval()
        ours.load_state_dict(imported.tensors)
        torch.testing.assert_close(ours(token_batch(config, 1)), model(token_batch(config, 1)))


def raschka_tensors(model: GPT, prefix: str) -> dict[str, Tensor]:
    """Our weights by the names of the book, written out a second time."""
    w = model.state_dict()
    tensors = {"tok_emb.weight": w["embedding.weight"], "pos_emb.weight": w["positions.weight"]}
    tensors |= {"final_norm.scale": w["norm.weight"], "final_norm.shift": w["norm.bias"]}
    tensors["out_head.weight"] = w.get("head.weight", w["embedding.weight"])
    for i in range(model.config.n_layers):
        ours, theirs = f"blocks.{i}", f"trf_blocks.{i}"
        q, k, v = w[f"{ours}.attention.qkv.weight"].chunk(3)
        tensors |= {
            f"{theirs}.att.W_query.weight": q,
            f"{theirs}.att.W_key.weight": k,
            f"{theirs}.att.W_value.weight": v,
        }
        tensors[f"{theirs}.att.mask"] = torch.ones(12, 12).triu(1)
        for kind in ("weight", "bias"):
            tensors[f"{theirs}.att.out_proj.{kind}"] = w[f"{ours}.attention.out.{kind}"]
            tensors[f"{theirs}.ff.layers.0.{kind}"] = w[f"{ours}.mlp.up.{kind}"]
            tensors[f"{theirs}.ff.layers.2.{kind}"] = w[f"{ours}.mlp.down.{kind}"]
            for norm in ("norm1", "norm2"):
                name = {"weight": "scale", "bias": "shift"}[kind]
                tensors[f"{theirs}.{norm}.{name}"] = w[f"{ours}.{norm}.{kind}"]
    return {prefix + name: tensor.clone().contiguous() for name, tensor in tensors.items()}


def test_an_hf_remote_export_is_imported_unchanged(make_source, tmp_path):
    source = make_source(norm_placement="post", positions="sinusoidal", dropout=0.1)
    TARGETS["hf-remote"].write(source, tmp_path, "f32")
    adapter, imported = read_model(tmp_path)
    assert adapter.model_type == "talewright"
    assert imported.config == source.model.config
    assert imported.tokenizer.fingerprint == source.tokenizer.fingerprint
    assert all(torch.equal(imported.tensors[name], tensor) for name, tensor in source.model.state_dict().items())
