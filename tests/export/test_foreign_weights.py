"""The weights of foreign models, as the programs that trained them leave them: read, or refused by what is wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GPT2Config, PretrainedConfig, PreTrainedModel

from talewright import api
from talewright.cli import main
from talewright.errors import UserError
from talewright.export.importers import import_model, read_model
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer
from tests.model.shapes import SEEDS

VOCAB = 300
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
TOKENS = torch.randint(0, VOCAB, (2, 9), generator=torch.Generator().manual_seed(0))


def lively(model: nn.Module, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return model.eval()


def logits_here(folder: Path) -> Tensor:
    _, imported = read_model(folder)
    ours = GPT(imported.config).eval()
    ours.load_state_dict(imported.tensors)
    return ours(TOKENS)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], tokenizer: Tokenizer) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer.save(folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    return folder


# --- nanoGPT ------------------------------------------------------------------------------------------------------


class NanoNorm(nn.Module):
    """nanoGPT's norm: with or without a bias."""

    def __init__(self, d: int, bias: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class NanoBlock(nn.Module):
    def __init__(self, d: int, heads: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.ln_1, self.ln_2, self.heads = NanoNorm(d, bias), NanoNorm(d, bias), heads
        self.approximate = "none" if activation == "gelu" else "tanh"
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(d, 3 * d, bias), "c_proj": nn.Linear(d, d, bias)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(d, 4 * d, bias), "c_proj": nn.Linear(4 * d, d, bias)})

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.attn["c_attn"](self.ln_1(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.attn["c_proj"](y)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate=self.approximate))


class NanoGPT(nn.Module):
    """nanoGPT's model, written from its description, with its names and its tied output layer."""

    def __init__(self, args: dict[str, Any], activation: str = "gelu") -> None:
        super().__init__()
        d, bias = args["n_embd"], args["bias"]
        blocks = [NanoBlock(d, args["n_head"], bias, activation) for _ in range(args["n_layer"])]
        embeddings = {"wte": nn.Embedding(args["vocab_size"], d), "wpe": nn.Embedding(args["block_size"], d)}
        self.transformer = nn.ModuleDict({**embeddings, "h": nn.ModuleList(blocks), "ln_f": NanoNorm(d, bias)})
        self.lm_head = nn.Linear(d, args["vocab_size"], bias=False)
        embeddings["wte"].weight = self.lm_head.weight

    def forward(self, tokens: Tensor) -> Tensor:
        parts: Any = self.transformer
        x = parts["wte"](tokens) + parts["wpe"](torch.arange(tokens.shape[1]))
        for block in parts["h"]:
            x = block(x)
        return self.lm_head(parts["ln_f"](x))


ARGS = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 32, "bias": False, "vocab_size": VOCAB, "dropout": 0.0}
PREFIXES = ["", "_orig_mod.", "module.", "module._orig_mod.", "model.", "_orig_mod.module."]


def gpt2_config(args: dict[str, Any], activation: str) -> dict[str, Any]:
    """What a person writes who calls a nanoGPT model a GPT-2."""
    shape = {key: args[key] for key in ("n_layer", "n_head", "n_embd", "vocab_size")}
    own = {"n_positions": args["block_size"], "activation_function": activation}
    return {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", **shape, **own}


@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 3),
    width=st.integers(2, 6),
    bias=st.booleans(),
    prefix=st.sampled_from(PREFIXES),
    kept=st.sampled_from(["both", "embedding", "head"]),
    activation=st.sampled_from(["gelu", "gelu_new"]),
    ours=st.booleans(),
    seed=SEEDS,
)
@settings(max_examples=25, suppress_health_check=FIXTURES)
def test_nanogpt_computes_the_same_here(
    layers, heads, width, bias, prefix, kept, activation, ours, seed, tokenizer, tmp_path_factory
):
    args = {**ARGS, "n_layer": layers, "n_head": heads, "n_embd": heads * width, "bias": bias}
    theirs = lively(NanoGPT(args, activation), seed)
    tensors = theirs.state_dict()
    for name in {"both": [], "embedding": ["lm_head.weight"], "head": ["transformer.wte.weight"]}[kept]:
        del tensors[name]
    nano = {"model_type": "nanogpt", "activation_function": activation, **args}
    config = nano if ours else gpt2_config(args, activation)
    renamed = {prefix + name: tensor for name, tensor in tensors.items()}
    folder = write(tmp_path_factory.mktemp("nano"), config, renamed, tokenizer)
    close(logits_here(folder), theirs(TOKENS))


def test_wrappers_inside_the_model_are_removed_too(tokenizer, tmp_path):
    theirs = lively(NanoGPT(ARGS))
    tensors = {name.replace(".attn.", "._orig_mod.attn."): tensor for name, tensor in theirs.state_dict().items()}
    close(logits_here(write(tmp_path / "nano", gpt2_config(ARGS, "gelu"), tensors, tokenizer)), theirs(TOKENS))


def test_a_config_of_nanogpt_says_its_activation(tokenizer, tmp_path):
    folder = write(tmp_path / "nano", {"model_type": "nanogpt", **ARGS}, NanoGPT(ARGS).state_dict(), tokenizer)
    with pytest.raises(UserError, match="activation_function is null; write gelu, or gelu_new"):
        read_model(folder)


@pytest.mark.parametrize("kind", ["nanogpt", "lightning", "plain"])
def test_the_command_that_converts_a_pickled_checkpoint_works(kind, tokenizer, tmp_path, capsys):
    theirs = lively(NanoGPT(ARGS))
    weights = theirs.state_dict()
    (tmp_path / "out dir's").mkdir()
    path = tmp_path / "out dir's" / "ckpt.pt"
    config = path.with_name("config.json")
    if kind == "nanogpt":
        compiled = {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}
        torch.save({"model": compiled, "model_args": ARGS, "iter_num": 3, "config": {"a": 1}}, path)
    else:
        named = {f"model.{name}": tensor for name, tensor in weights.items()}
        torch.save({"pytorch-lightning_version": "2", "state_dict": named} if kind == "lightning" else weights, path)
        config.write_text(json.dumps(gpt2_config(ARGS, "gelu")))
    with pytest.raises(SystemExit):
        main(["import", str(path), str(tmp_path / "run")])
    command = capsys.readouterr().err.split("`")[1]
    program = shlex.split(command)
    assert program[0] == "python"
    subprocess.run([sys.executable, *program[1:]], check=True)
    tokenizer.save(path.parent)
    close(logits_here(path.parent), theirs(TOKENS))
    if kind == "nanogpt":
        again = subprocess.run([sys.executable, *program[1:]], capture_output=True)
        assert again.returncode  # a config.json that is there is not replaced


# --- the class of the first system --------------------------------------------------------------------------------


class BookNorm(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() + (
            self.shift
        )


class BookAttention(nn.Module):
    def __init__(self, d: int, heads: int, context: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.W_query, self.W_key, self.W_value = (nn.Linear(d, d, bias=qkv_bias) for _ in range(3))
        self.out_proj = nn.Linear(d, d)
        self.register_buffer("mask", torch.triu(torch.ones(context, context), diagonal=1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.W_query, self.W_key, self.W_value)
        )
        hidden: Any = self.mask
        scores = (q @ k.mT).masked_fill(hidden.bool()[: x.shape[1], : x.shape[1]], -torch.inf)
        return self.out_proj(((scores / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class BookGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")


class BookBlock(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        d = config.emb_dim
        self.att = BookAttention(d, config.n_heads, config.context_length, config.qkv_bias)
        self.ff = nn.Module()
        self.ff.layers = nn.Sequential(nn.Linear(d, 4 * d), BookGELU(), nn.Linear(4 * d, d))
        self.norm1, self.norm2 = BookNorm(d), BookNorm(d)

    def forward(self, x: Tensor) -> Tensor:
        layers: Any = self.ff.layers
        x = x + self.att(self.norm1(x))
        return x + layers(self.norm2(x))


class BookGPT(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.trf_blocks = nn.Sequential(*(BookBlock(config) for _ in range(config.n_layers)))
        self.final_norm = BookNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tok_emb(tokens) + self.pos_emb(torch.arange(tokens.shape[1]))
        return self.out_head(self.final_norm(self.trf_blocks(x)))


class SmallLLMConfig(GPT2Config):
    model_type = "small_llm_gpt2"

    def __init__(self, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1, qkv_bias=False, context_length=12, **kwargs):
        super().__init__(**kwargs)
        self.emb_dim, self.n_heads, self.n_layers = emb_dim, n_heads, n_layers
        self.drop_rate, self.qkv_bias, self.context_length = drop_rate, qkv_bias, context_length


class SmallLLMForCausalLM(PreTrainedModel):
    """The class of the published model, from its description: the book's GPT behind transformers' interface."""

    config_class: Any = SmallLLMConfig
    base_model_prefix = "gpt"
    _tied_weights_keys = {"gpt.out_head.weight": "gpt.tok_emb.weight"}  # noqa: RUF012

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.gpt = BookGPT(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        pass

    def get_input_embeddings(self) -> nn.Module:
        return self.gpt.tok_emb

    def get_output_embeddings(self) -> nn.Module:
        return self.gpt.out_head

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.gpt(input_ids)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_what_the_first_systems_own_class_saves_is_imported(tied, qkv_bias, tokenizer, tmp_path):
    config = SmallLLMConfig(vocab_size=VOCAB, qkv_bias=qkv_bias, tie_word_embeddings=tied)
    theirs = lively(SmallLLMForCausalLM(config))
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    saved = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert (saved["architectures"], saved["model_type"]) == (["SmallLLMForCausalLM"], "small_llm_gpt2")
    import_model(str(tmp_path / "theirs"), tmp_path / "run")
    run = api.load(tmp_path / "run", device="cpu")
    assert run.model.config.tied is tied
    close(run.model(TOKENS), theirs(TOKENS))
