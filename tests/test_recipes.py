"""The packaged recipes: measured sizes, published settings, and sane first losses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from talewright.config import ModelConfig, load_recipe, recipe_names
from talewright.export import supported_targets
from talewright.export.adapters import Qwen3Adapter
from talewright.model.cost import count_parameters
from talewright.model.gpt import GPT
from talewright.scaling.plan import LADDERS
from talewright.train.objective import Objective

FOUR = ["gpt2-124m", "sinusoidal-45m", "mini-2m", "neo-41m"]
FULL = {"model.vocab_size": "50257", "tokenizer.kind": "gpt2"}

COUNTS = [
    ("gpt2-124m", {}, 123_724_032),
    ("gpt2-124m", {"model.tied": "false"}, 162_321_408),
    ("sinusoidal-45m", {}, 44_634_624),
    ("mini-2m", {}, 1_848_064),
    ("neo-41m", {}, 41_026_560),
    ("neo-41m", FULL, 105_931_776),
    ("neo-41m", {"model.tied": "true"}, 34_881_792),
]
COMPONENTS = [({}, (6_537_984, 28_342_272, 6_146_304)), (FULL, (38_990_592, 28_342_272, 38_598_912))]

TINYSTORIES = {"1m": (64, 8), "3m": (128, 8), "8m": (256, 8), "28m": (512, 8), "33m": (768, 4)}
LLAMA2C = {  # width, layers, heads, key-value heads, d_ff, context, vocabulary
    "260k": (64, 5, 8, 4, 172, 512, 512),
    "15m": (288, 6, 6, 6, 768, 256, 32_000),
    "42m": (512, 8, 8, 8, 1_376, 1_024, 32_000),
    "110m": (768, 12, 12, 12, 2_048, 1_024, 32_000),
}


STORY = {
    "300k": 320_096,
    "1m": 1_090_816,
    "3m": 2_705_600,
    "5m": 5_066_112,
    "15m": 15_146_368,
    "40m": 40_384_512,
    "125m": 125_856_512,
}


@pytest.mark.parametrize("size", STORY)
def test_the_story_ladder_is_qwen3_of_about_the_size_in_its_name(size: str) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = load_recipe(f"story-{size}").model
    with torch.device("meta"):
        theirs = Qwen3ForCausalLM(
            Qwen3Config(
                hidden_size=config.d_model,
                num_hidden_layers=config.n_layers,
                num_attention_heads=config.n_heads,
                num_key_value_heads=config.kv_heads,
                head_dim=config.head_dim,
                intermediate_size=config.d_ff,
                vocab_size=config.vocab_size,
                tie_word_embeddings=True,
            )
        )
    assert count_parameters(config).total == theirs.num_parameters() == STORY[size]
    assert STORY[size] == pytest.approx({"k": 1e3, "m": 1e6}[size[-1]] * int(size[:-1]), rel=0.1)
    assert Qwen3Adapter().unsupported_reason(config) is None


@pytest.mark.parametrize("size", LADDERS["storyx"])
def test_a_recipe_of_storyx_is_that_of_story_with_mixed_values_convolutions_and_bigrams(size: str) -> None:
    plain, mixed = (load_recipe(f"{ladder}-{size}") for ladder in LADDERS)
    assert replace(mixed.model, value_residual=False, short_convolution=False, bigrams=0) == plain.model
    assert (mixed.data, mixed.optimizer, mixed.schedule, mixed.train) == (
        plain.data,
        plain.optimizer,
        plain.schedule,
        plain.train,
    )
    assert set(supported_targets(mixed.model)) == {"hf-remote", "onnx", "web", "space"}


def test_there_are_these_recipes() -> None:
    ladders = [f"tinystories-{size}" for size in TINYSTORIES] + [f"llama2c-{size}" for size in LLAMA2C]
    ladders += [f"story-{size}" for size in STORY] + [f"storyx-{size}" for size in LADDERS["storyx"]]
    assert set(recipe_names()) == {"quickstart", *FOUR, *ladders}


@pytest.mark.parametrize(("name", "overrides", "count"), COUNTS)
def test_parameter_counts_are_the_measured_ones_to_the_unit(name: str, overrides: dict[str, str], count: int) -> None:
    config = load_recipe(name, overrides).model
    assert count_parameters(config).total == count
    with torch.device("meta"):
        assert sum(p.numel() for p in GPT(config).parameters()) == count


@pytest.mark.parametrize(("overrides", "sizes"), COMPONENTS)
def test_parameter_counts_by_component_are_the_measured_ones(
    overrides: dict[str, str], sizes: tuple[int, int, int]
) -> None:
    found = count_parameters(load_recipe("neo-41m", overrides).model)
    assert (found.embeddings, found.blocks, found.output) == sizes


@pytest.mark.parametrize("size", TINYSTORIES)
def test_the_tinystories_ladder_is_gpt_neo_of_the_published_shape(size: str) -> None:
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    width, layers = TINYSTORIES[size]
    config = load_recipe(f"tinystories-{size}").model
    assert config.attention == ("global", "local")
    assert (config.window, config.context_length, config.attention_scaled) == (256, 2048, False)
    assert (config.activation, config.n_heads) == ("gelu_tanh", 16)
    with torch.device("meta"):
        kinds: Any = [[["global", "local"], layers // 2]]
        published = GPTNeoForCausalLM(
            GPTNeoConfig(
                hidden_size=width,
                num_layers=layers,
                num_heads=16,
                attention_types=kinds,
                max_position_embeddings=2048,
                tie_word_embeddings=True,
            )
        )
    assert count_parameters(config).total == published.num_parameters()


@pytest.mark.parametrize("size", LLAMA2C)
def test_the_llama2c_ladder_is_llama_of_the_published_shape(size: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    width, layers, heads, kv_heads, d_ff, context, vocabulary = LLAMA2C[size]
    config = load_recipe(f"llama2c-{size}").model
    assert (config.norm, config.norm_eps, config.positions, config.rotary_base) == ("rmsnorm", 1e-5, "rotary", 10000)
    assert (config.activation, config.bias, config.context_length) == ("swiglu", (), context)
    assert (config.n_heads, config.kv_heads) == (heads, kv_heads)
    with torch.device("meta"):
        published = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                intermediate_size=d_ff,
                vocab_size=vocabulary,
                tie_word_embeddings=True,
            )
        )
    assert count_parameters(config).total == published.num_parameters()


DOCUMENTED: dict[str, dict[str, Any]] = {
    "gpt2-124m": {
        "model": {
            "n_layers": 12,
            "n_heads": 12,
            "d_model": 768,
            "d_ff": 3072,
            "context_length": 128,
            "vocab_size": 50257,
            "norm_placement": "pre",
            "norm_eps": 1e-5,
            "positions": "learned",
            "activation": "gelu_tanh",
            "dropout": 0.1,
            "dropout_sites": ("embedding", "attention", "residual"),
            "attention_scaled": True,
        },
        "tokenizer": {"kind": "gpt2"},
        "data": {"limit": 20_000, "valid_limit": 5_000, "stride": 128},
        "optimizer": {"weight_decay": 0.1, "betas": (0.9, 0.95), "clip": 1.0},
        "schedule": {"kind": "constant", "warmup_steps": 0},
        "train": {"learning_rate": 3e-4, "micro_batch": 8, "accumulation": 1, "max_epochs": 10},
    },
    "sinusoidal-45m": {
        "model": {
            "n_layers": 6,
            "n_heads": 8,
            "d_model": 512,
            "d_ff": 2048,
            "context_length": 256,
            "vocab_size": 50257,
            "norm_placement": "post",
            "positions": "sinusoidal",
            "embedding_scaled": True,
            "activation": "gelu",
            "dropout": 0.1,
            "dropout_sites": ("embedding", "attention", "residual", "mlp"),
        },
        "tokenizer": {"kind": "gpt2"},
        "data": {"limit": 270_000, "splits": (70, 20, 10), "layout": "rows"},
        "optimizer": {"weight_decay": 0.01, "betas": (0.9, 0.95), "clip": 1.0},
        "schedule": {"kind": "cosine", "warmup_steps": 500},
        "train": {"learning_rate": 2e-4, "micro_batch": 4, "accumulation": 8, "max_epochs": 10, "patience": 3},
    },
    "mini-2m": {
        "model": {
            "n_layers": 4,
            "n_heads": 4,
            "d_model": 128,
            "d_ff": 512,
            "context_length": 256,
            "vocab_size": 8000,
            "norm_placement": "pre",
            "positions": "learned",
            "activation": "gelu",
            "dropout": 0.1,
            "dropout_sites": ("embedding", "attention", "residual"),
        },
        "tokenizer": {"kind": "bpe"},
        "data": {"limit": 50_000, "splits": (95, 5)},
        "optimizer": {"weight_decay": 0.1, "betas": (0.9, 0.95), "clip": 1.0},
        "schedule": {"kind": "cosine", "warmup_steps": 500, "final_fraction": 0.1},
        "train": {"learning_rate": 3e-4, "micro_batch": 16, "accumulation": 16, "max_steps": 10_000},
    },
    "neo-41m": {
        "model": {
            "n_layers": 4,
            "n_heads": 16,
            "d_model": 768,
            "d_ff": 3072,
            "context_length": 512,
            "vocab_size": 8001,
            "attention": ("global", "local"),
            "window": 256,
            "attention_scaled": True,
            "activation": "gelu_tanh",
            "dropout": 0.0,
            "tied": False,
        },
        "tokenizer": {"kind": "gpt2-top"},
        "data": {"limit": None, "splits": (90, 10)},
        "optimizer": {"weight_decay": 0.1, "betas": (0.9, 0.95), "clip": None},
        "schedule": {"kind": "constant"},
        "train": {"learning_rate": 5e-4, "micro_batch": 16, "accumulation": 5, "max_epochs": 1},
    },
}


@pytest.mark.parametrize("name", FOUR)
def test_the_four_recipes_are_as_documented(name: str) -> None:
    recipe = load_recipe(name)
    for section, values in DOCUMENTED[name].items():
        found = getattr(recipe, section)
        assert {key: getattr(found, key) for key in values} == values, section


def first_loss(config: ModelConfig) -> float:
    torch.manual_seed(0)
    model = GPT(config)
    stream = torch.randint(config.vocab_size, (2, 33))
    with torch.no_grad():
        return Objective(model)(stream[:, :-1], stream[:, 1:]).item() / stream[:, 1:].numel()


@pytest.mark.parametrize("name", recipe_names())
def test_the_first_loss_is_within_3_percent_of_ln_v(name: str) -> None:
    config = load_recipe(name).model
    assert first_loss(config) == pytest.approx(math.log(config.vocab_size), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_step_lowers_the_loss_of_every_recipe(name: str) -> None:
    torch.manual_seed(0)
    config = load_recipe(name).model
    model = GPT(config)
    stream = torch.randint(config.vocab_size, (1, min(config.context_length, 64) + 1))
    losses = []
    for _ in range(2):
        loss = Objective(model)(stream[:, :-1], stream[:, 1:]) / stream[:, 1:].numel()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                assert parameter.grad.isfinite().all()
                parameter -= 0.05 * parameter.grad
                parameter.grad = None
    assert losses[1] < losses[0]
