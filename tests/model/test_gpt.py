"""The whole model: equal to other programs with the same weights, and true to what its settings say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.inspect import record
from talewright.model.gpt import GPT, Block
from talewright.model.loss import IGNORED
from talewright.train.objective import Objective
from tests.model import theirs
from tests.model.plain import plain_logits
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

GPT2 = {
    "n_kv_heads": None,
    "norm": "layernorm",
    "norm_placement": "pre",
    "qk_norm": False,
    "positions": "learned",
    "embedding_scaled": False,
    "attention": ("global",),
}
GPT_NEO = {**GPT2, "attention_scaled": False}
LLAMA = {
    "norm": "rmsnorm",
    "norm_placement": "pre",
    "qk_norm": False,
    "positions": "rotary",
    "embedding_scaled": False,
    "activation": "swiglu",
    "attention": ("global",),
    "attention_scaled": True,
}
PLAIN_MLPS = st.sampled_from(["gelu_tanh", "gelu", "relu2"])


@st.composite
def gpt_neos(draw: st.DrawFn, **fixed: Any) -> ModelConfig:
    """Shapes that GPT-Neo has as well: no biases of queries, keys and values."""
    settings_ = {**GPT_NEO, "activation": draw(PLAIN_MLPS), "bias": ("out", "mlp"), **fixed}
    settings_["attention"] = draw(st.sampled_from([("global",), ("local",), ("global", "local"), ("local", "global")]))
    return draw(model_configs(**settings_))


@st.composite
def llamas(draw: st.DrawFn) -> ModelConfig:
    """Shapes that Llama has as well: a bias of queries, keys and values there goes with one of the output."""
    biases = [(), ("mlp",), ("qkv", "out"), ("qkv", "out", "mlp")]
    return draw(model_configs(**LLAMA, bias=draw(st.sampled_from(biases))))


def mean_loss_gradients(loss: Tensor, model: nn.Module) -> dict[str, Tensor]:
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_models(
    config: ModelConfig, seed: int, make: Callable[[GPT], nn.Module], rename: theirs.Renaming
) -> None:
    """Logits within 1e-4, and gradients of the mean loss too."""
    ours = lively_model(config, seed)
    other = make(ours)
    tokens, targets = token_batch(config, seed), token_batch(config, seed + 1)
    logits = other(input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(ours(tokens), logits, atol=1e-4, rtol=0)
    expected = mean_loss_gradients(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), other)
    found = rename(config, mean_loss_gradients(Objective(ours)(tokens, targets) / targets.numel(), ours))
    assert set(expected) - set(found) <= {
        name for name in expected if name.endswith(".bias")
    }  # those that ours has not
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@settings(max_examples=40)
@given(config=PLAIN_MLPS.flatmap(lambda kind: model_configs(**GPT2, activation=kind)), seed=SEEDS)
def test_logits_and_gradients_equal_transformers_gpt2(config: ModelConfig, seed: int) -> None:
    assert_equal_models(config, seed, theirs.gpt2, theirs.gpt2_names)


@settings(max_examples=40)
@given(config=gpt_neos(), seed=SEEDS)
def test_logits_and_gradients_equal_transformers_gpt_neo(config: ModelConfig, seed: int) -> None:
    assert_equal_models(config, seed, theirs.gpt_neo, theirs.gpt_neo_names)


@settings(max_examples=40)
@given(config=llamas(), seed=SEEDS)
def test_logits_and_gradients_equal_transformers_llama(config: ModelConfig, seed: int) -> None:
    assert_equal_models(config, seed, theirs.llama, theirs.llama_names)


@settings(max_examples=40)
@given(config=model_configs(**{**LLAMA, "qk_norm": True}, bias=()), seed=SEEDS)
def test_logits_and_gradients_equal_transformers_qwen3(config: ModelConfig, seed: int) -> None:
    assert_equal_models(config, seed, theirs.qwen3, theirs.llama_names)


@settings(max_examples=10)
@given(config=gpt_neos(attention_scaled=True), seed=SEEDS)
def test_scaled_attention_is_gpt_neo_with_smaller_queries(config: ModelConfig, seed: int) -> None:
    ours = lively_model(config, seed)
    other = theirs.gpt_neo(ours)
    with torch.no_grad():
        for block in cast(Any, other.transformer.h):
            block.attn.attention.q_proj.weight *= config.head_dim**-0.5
    tokens = token_batch(config, seed)
    torch.testing.assert_close(ours(tokens), other(input_ids=tokens).logits, atol=1e-4, rtol=0)


@settings(max_examples=20)
@given(
    config=model_configs(
        norm_placement="post",
        positions="sinusoidal",
        norm="layernorm",
        embedding_scaled=True,
        value_residual=False,
        short_convolution=False,
    ),
    seed=SEEDS,
)
def test_post_norm_sinusoidal_logits_equal_the_plain_program(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    expected = torch.from_numpy(plain_logits(model, tokens)).float()
    torch.testing.assert_close(model(tokens), expected, atol=1e-4, rtol=0)


@settings(max_examples=60)
@given(config=model_configs(), seed=SEEDS)
def test_any_models_logits_equal_the_plain_program(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    torch.testing.assert_close(model(tokens), torch.from_numpy(plain_logits(model, tokens)), atol=1e-4, rtol=1e-4)


LONG: dict[str, Any] = {"n_layers": 2, "n_heads": 4, "d_model": 32, "d_ff": 48, "vocab_size": 60, "context_length": 150}


def test_long_sequences_equal_transformers() -> None:
    """Long enough that attention over them might be computed in pieces, and a window ends in the midst of one."""
    neo = ModelConfig(**LONG, attention=("global", "local"), window=37, attention_scaled=False, bias=("out", "mlp"))
    assert_equal_models(neo, 0, theirs.gpt_neo, theirs.gpt_neo_names)
    llama: Any = {**LLAMA, "bias": (), "n_kv_heads": 2}
    assert_equal_models(ModelConfig(**LONG, **llama), 0, theirs.llama, theirs.llama_names)


# --- numbered properties -----------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(config=model_configs(), rows=st.integers(1, 4), data=st.data())
def test_property_5_output_shape_is_batch_by_time_by_vocabulary(
    config: ModelConfig, rows: int, data: st.DataObject
) -> None:
    T = data.draw(st.integers(1, config.context_length))
    model, tokens = GPT(config), token_batch(config, 0, rows, T)
    assert model(tokens).shape == (rows, T, config.vocab_size)
    assert model.hidden(tokens).shape == (rows, T, config.d_model)
    assert Objective(model)(tokens, tokens).shape == ()


@settings(max_examples=25)
@given(config=model_configs(context_length=12), seed=SEEDS, data=st.data())
def test_property_7_no_attention_above_the_diagonal(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    for weights in record(model, tokens, ["blocks.*.attn.pattern"]).values():
        assert weights.triu(1).count_nonzero() == 0
    changed = data.draw(st.integers(1, 11))
    later = tokens.clone()
    later[:, changed:] = (later[:, changed:] + 1) % config.vocab_size
    torch.testing.assert_close(model(later)[:, :changed], model(tokens)[:, :changed], atol=1e-6, rtol=1e-5)


# --- weights -----------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(config=model_configs())
def test_the_state_dict_holds_the_parameters_and_nothing_else(config: ModelConfig) -> None:
    model = GPT(config)
    state = model.state_dict()
    assert set(state) == {name for name, _ in model.named_parameters()}  # no mask, no table, no other buffer
    assert ("head.weight" in state) is (not config.tied)


@settings(max_examples=15)
@given(config=model_configs(), seed=SEEDS)
def test_the_state_dict_alone_makes_the_same_model(config: ModelConfig, seed: int) -> None:
    model, other, tokens = lively_model(config, seed), GPT(config).eval(), token_batch(config, seed)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(tokens), model(tokens))


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_are_one_tensor_and_untied_are_two(tied: bool) -> None:
    model = GPT(ModelConfig(vocab_size=50, tied=tied))
    assert (model.output_weight is model.embedding.weight) is tied
    before = model.output_weight.detach().clone()
    with torch.no_grad():
        model.embedding.weight += 1
    assert torch.equal(before, model.output_weight) is (not tied)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_initial_weights_have_the_documented_spread(activation: Any) -> None:
    torch.manual_seed(0)
    config = ModelConfig(n_layers=8, d_model=128, vocab_size=3000, tied=False, qk_norm=True, activation=activation)
    for name, parameter in GPT(config).named_parameters():
        if parameter.dim() == 1:
            assert torch.all(parameter == (0.0 if name.endswith(".bias") else 1.0)), name
            continue
        residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
        expected = 0.02 / math.sqrt(2 * 8) if residual else 0.02
        assert parameter.std().item() == pytest.approx(expected, rel=0.03), name
        assert abs(parameter.mean().item()) < 0.05 * expected, name


def test_initial_spread_is_a_setting() -> None:
    assert GPT(ModelConfig(init_std=0.1)).embedding.weight.std().item() == pytest.approx(0.1, rel=0.03)


@settings(max_examples=15)
@given(config=model_configs(vocab_size=40), seed=SEEDS)
def test_the_same_seed_makes_the_same_weights(config: ModelConfig, seed: int) -> None:
    def weights() -> Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(GPT(config).parameters())

    assert torch.equal(weights(), weights())


@settings(max_examples=20)
@given(config=model_configs(), seed=SEEDS)
def test_every_parameter_learns(config: ModelConfig, seed: int) -> None:
    """None is left out of the computation. (Positions of places that no token took excepted: all are taken here.)"""
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    Objective(model)(tokens, token_batch(config, seed + 1)).backward()
    assert {name for name, p in model.named_parameters() if p.grad is None} == set()


# --- dropout -----------------------------------------------------------------------------------------------------

SITES = ("embedding", "attention", "residual", "mlp")


def dropping_model(*sites: Any, **changes: Any) -> GPT:
    torch.manual_seed(0)
    return GPT(ModelConfig(n_layers=2, vocab_size=50, dropout=0.5, dropout_sites=sites, **changes))


@pytest.mark.parametrize("site", SITES)
def test_each_dropout_site_acts_alone_and_only_in_training(site: str) -> None:
    model, undropped = dropping_model(site), dropping_model()
    tokens = token_batch(model.config, 0)
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(undropped(tokens), undropped(tokens))
    torch.testing.assert_close(model.eval()(tokens), undropped.eval()(tokens))


def first_block(model: GPT) -> Block:
    return cast(Block, model.blocks[0])


def watched(module: nn.Module, run: Callable[[], Any]) -> Tensor:
    """The first input of the module during the run."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    run()
    hook.remove()
    return seen[0]


def assert_half_dropped(found: Tensor, whole: Tensor) -> None:
    """About half is 0, and the rest is doubled."""
    kept = found != 0
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(found[kept], 2 * whole[kept])


@pytest.mark.parametrize(("site", "place"), [("embedding", "blocks.0"), ("mlp", "blocks.0.mlp.down")])
def test_dropout_drops_half_and_doubles_the_rest(site: str, place: str) -> None:
    model = dropping_model(site)
    tokens, module = token_batch(model.config, 0), model.get_submodule(place)
    whole = watched(module, lambda: model.eval()(tokens))
    assert_half_dropped(watched(module, lambda: model.train()(tokens)), whole)


def test_residual_dropout_drops_what_both_halves_add() -> None:
    model = dropping_model("residual")
    block = first_block(model)
    ones = torch.ones(model.config.d_model)
    with torch.no_grad():
        for half in (block.attention.out, block.mlp.down):  # each adds 1 everywhere
            half.weight.zero_()
            half.bias.copy_(ones)
    tokens = token_batch(model.config, 0)
    added = watched(model.blocks[1], lambda: model(tokens)) - watched(block, lambda: model(tokens))
    shares = [(added - n).abs().lt(1e-4).float().mean().item() for n in (0, 2, 4)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_attention_dropout_drops_weights() -> None:
    model = dropping_model("attention", context_length=64)
    attention, D = first_block(model).attention, model.config.d_model
    with torch.no_grad():  # every value is 1, so what attention gathers is the sum of its weights
        attention.qkv.weight[2 * D :] = 0
        attention.qkv.bias[2 * D :] = 1
    tokens = token_batch(model.config, 0, rows=8)
    assert torch.allclose(watched(attention.out, lambda: model.eval()(tokens)), torch.ones(()))
    sums = watched(attention.out, lambda: model.train()(tokens)).unflatten(-1, (model.config.n_heads, -1))[
        ..., 0
    ]  # (B, T, H)
    first = sums[:, 0].flatten()  # one weight of 1, which is dropped or doubled
    assert set(first.tolist()) == {0.0, 2.0}
    assert sums[:, -1].std() > 0.01
    assert sums[:, -1].mean().item() == pytest.approx(1, abs=0.1)


# --- padding -----------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(config=model_configs(context_length=16), seed=SEEDS, data=st.data())
def test_padding_is_neither_scored_nor_attended(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 16), min_size=1, max_size=3))
    model = lively_model(config, seed)
    tokens, targets = token_batch(config, seed, len(lengths)), token_batch(config, seed + 1, len(lengths))
    singly = sum(Objective(model)(tokens[i : i + 1, :n], targets[i : i + 1, :n]).item() for i, n in enumerate(lengths))
    for i, n in enumerate(lengths):
        targets[i, n:] = IGNORED
    assert Objective(model)(tokens, targets).item() == pytest.approx(singly, rel=1e-4, abs=1e-4)


# --- bfloat16 ----------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(config=model_configs(attention_scaled=True), dropout=st.sampled_from([0.0, 0.2]), seed=SEEDS)
def test_any_model_trains_in_bfloat16(config: ModelConfig, dropout: float, seed: int) -> None:
    """Near the float32 losses, with gradients in float32."""
    model = lively_model(replace(config, dropout=dropout), seed)
    tokens, targets = token_batch(config, seed), token_batch(config, seed + 1)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = Objective(model)(tokens, targets) / targets.numel()
    assert rounded.item() == pytest.approx(
        (Objective(model)(tokens, targets) / targets.numel()).item(), rel=0.1, abs=0.1
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        Objective(model.train())(tokens, targets).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), name
