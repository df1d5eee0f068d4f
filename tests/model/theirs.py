"""The same weights in transformers' models: independent programs to compare ours with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from talewright.config import ModelConfig
from talewright.model.gpt import GPT

M = TypeVar("M", bound=nn.Module)
Tensors = dict[str, Tensor]
Renaming = Callable[[ModelConfig, Tensors], Tensors]
"""Our tensors by our names -> theirs by their names, only moved, split and transposed: so it maps gradients too."""

ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu2": "relu2", "swiglu": "silu"}


def gpt2(model: GPT) -> GPT2LMHeadModel:
    """transformers' GPT-2 with our model's weights."""
    c = model.config
    config = GPT2Config(
        vocab_size=c.vocab_size,
        n_positions=c.context_length,
        n_embd=c.d_model,
        n_layer=c.n_layers,
        n_head=c.n_heads,
        n_inner=c.d_ff,
        activation_function=ACTIVATIONS[c.activation],
        layer_norm_epsilon=c.norm_eps,
        scale_attn_weights=c.attention_scaled,
        tie_word_embeddings=c.tied,
        **_no_tokens(),
    )
    return _filled(GPT2LMHeadModel(_eager(config)), gpt2_names(c, dict(model.state_dict())))


def gpt2_names(c: ModelConfig, ours: Tensors) -> Tensors:
    theirs = {"transformer.wte.weight": ours["embedding.weight"], "transformer.wpe.weight": ours["positions.weight"]}
    theirs |= _pick(ours, [("norm", "transformer.ln_f")])
    for i in range(c.n_layers):
        block, h = f"blocks.{i}", f"transformer.h.{i}"
        theirs |= _pick(ours, [(f"{block}.norm1", f"{h}.ln_1"), (f"{block}.norm2", f"{h}.ln_2")])
        projections = _pick(
            ours,
            [
                (f"{block}.attention.qkv", f"{h}.attn.c_attn"),
                (f"{block}.attention.out", f"{h}.attn.c_proj"),
                (f"{block}.mlp.up", f"{h}.mlp.c_fc"),
                (f"{block}.mlp.down", f"{h}.mlp.c_proj"),
            ],
        )
        theirs |= {name: t.T if t.dim() == 2 else t for name, t in projections.items()}  # weights are (in, out) there
    return theirs | _pick(ours, [("head", "lm_head")])


def gpt_neo(model: GPT) -> GPTNeoForCausalLM:
    """transformers' GPT-Neo with our model's weights. It does not scale attention, so neither may ours."""
    c = model.config
    kinds = [c.attention[i % len(c.attention)] for i in range(c.n_layers)]
    config = GPTNeoConfig(
        vocab_size=c.vocab_size,
        max_position_embeddings=c.context_length,
        hidden_size=c.d_model,
        num_layers=c.n_layers,
        num_heads=c.n_heads,
        intermediate_size=c.d_ff,
        attention_types=[[kinds, 1]],
        window_size=c.window,
        activation_function=ACTIVATIONS[c.activation],
        layer_norm_epsilon=c.norm_eps,
        tie_word_embeddings=c.tied,
        **_no_tokens(),
    )
    return _filled(GPTNeoForCausalLM(_eager(config)), gpt_neo_names(c, dict(model.state_dict())))


def gpt_neo_names(c: ModelConfig, ours: Tensors) -> Tensors:
    theirs = {"transformer.wte.weight": ours["embedding.weight"], "transformer.wpe.weight": ours["positions.weight"]}
    theirs |= _pick(ours, [("norm", "transformer.ln_f")])
    for i in range(c.n_layers):
        block, h = f"blocks.{i}", f"transformer.h.{i}"
        theirs |= _pick(
            ours,
            [
                (f"{block}.norm1", f"{h}.ln_1"),
                (f"{block}.norm2", f"{h}.ln_2"),
                (f"{block}.attention.out", f"{h}.attn.attention.out_proj"),
                (f"{block}.mlp.up", f"{h}.mlp.c_fc"),
                (f"{block}.mlp.down", f"{h}.mlp.c_proj"),
            ],
        )
        theirs |= _split_heads(c, ours, f"{block}.attention.qkv", f"{h}.attn.attention")
    return theirs | _pick(ours, [("head", "lm_head")])


def llama(model: GPT) -> LlamaForCausalLM:
    """transformers' Llama with our model's weights."""
    c = model.config
    config = LlamaConfig(**_llama_settings(c), attention_bias="qkv" in c.bias, mlp_bias="mlp" in c.bias)
    return _filled(LlamaForCausalLM(_eager(config)), llama_names(c, dict(model.state_dict())))


def qwen3(model: GPT) -> Qwen3ForCausalLM:
    """transformers' Qwen3, which is a Llama with normalized queries and keys, with our model's weights."""
    c = model.config
    config = Qwen3Config(**_llama_settings(c), attention_bias="qkv" in c.bias)
    return _filled(Qwen3ForCausalLM(_eager(config)), llama_names(c, dict(model.state_dict())))


def llama_names(c: ModelConfig, ours: Tensors) -> Tensors:
    theirs = _pick(ours, [("embedding", "model.embed_tokens"), ("norm", "model.norm"), ("head", "lm_head")])
    for i in range(c.n_layers):
        block, layer = f"blocks.{i}", f"model.layers.{i}"
        theirs |= _pick(
            ours,
            [
                (f"{block}.norm1", f"{layer}.input_layernorm"),
                (f"{block}.norm2", f"{layer}.post_attention_layernorm"),
                (f"{block}.attention.out", f"{layer}.self_attn.o_proj"),
                (f"{block}.attention.q_norm", f"{layer}.self_attn.q_norm"),
                (f"{block}.attention.k_norm", f"{layer}.self_attn.k_norm"),
                (f"{block}.mlp.down", f"{layer}.mlp.down_proj"),
            ],
        )
        theirs |= _split_heads(c, ours, f"{block}.attention.qkv", f"{layer}.self_attn")
        for kind in ("weight", "bias"):
            if (up := ours.get(f"{block}.mlp.up.{kind}")) is not None:
                theirs[f"{layer}.mlp.gate_proj.{kind}"] = up[: c.d_ff]
                theirs[f"{layer}.mlp.up_proj.{kind}"] = up[c.d_ff :]
    return theirs


def _llama_settings(c: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context_length,
        "hidden_size": c.d_model,
        "intermediate_size": c.d_ff,
        "num_hidden_layers": c.n_layers,
        "num_attention_heads": c.n_heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "hidden_act": ACTIVATIONS[c.activation],
        "rms_norm_eps": c.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.rotary_base},
        "tie_word_embeddings": c.tied,
        **_no_tokens(),
    }


def _no_tokens() -> dict[str, Any]:
    return {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def _eager(config: Any) -> Any:
    config._attn_implementation = "eager"  # another program than the fused kernel that ours uses, and it shows weights
    return config


def _pick(ours: Tensors, names: Iterable[tuple[str, str]]) -> Tensors:
    return {
        f"{theirs}.{kind}": ours[f"{name}.{kind}"]
        for name, theirs in names
        for kind in ("weight", "bias")
        if f"{name}.{kind}" in ours
    }


def _split_heads(c: ModelConfig, ours: Tensors, name: str, theirs: str) -> Tensors:
    sizes = [c.n_heads * c.head_dim, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim]
    return {
        f"{theirs}.{projection}_proj.{kind}": part
        for kind in ("weight", "bias")
        if f"{name}.{kind}" in ours
        for projection, part in zip("qkv", ours[f"{name}.{kind}"].split(sizes), strict=True)
    }


def _filled(theirs: M, tensors: Tensors) -> M:
    """Theirs with these tensors; a bias that ours has not is 0."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.endswith(".bias") or name == "lm_head.weight" for name in missing)
    return theirs.eval()
