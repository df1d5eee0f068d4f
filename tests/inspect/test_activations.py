"""Recording and patching: the same model, seen from inside, against independent programs."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect import patch, record
from talewright.inspect.activation_names import activation_names
from talewright.model.gpt import GPT, Block
from tests.model import theirs
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

SMALL = ModelConfig(n_layers=3, n_heads=2, d_model=16, d_ff=24, vocab_size=30, context_length=9)


def sizes(config: ModelConfig, name: str) -> tuple[int, ...]:
    """The shape that the table of names promises, for two rows of the whole context."""
    B, T, D, d = 2, config.context_length, config.d_model, config.head_dim
    queries, keys, square = (B, config.n_heads, T, d), (B, config.kv_heads, T, d), (B, config.n_heads, T, T)
    shapes: dict[str, tuple[int, ...]] = {
        "q": queries,
        "k": keys,
        "v": keys,
        "z": queries,
        "attn_scores": square,
        "pattern": square,
    }
    shapes["logits"] = (B, T, config.vocab_size)
    shapes["post"] = (B, T, config.d_ff)
    shapes["pre"] = (B, T, config.d_ff * (2 if config.activation == "swiglu" else 1))
    return shapes.get(name.split(".")[-1], (B, T, D))


@settings(max_examples=80)
@given(config=model_configs(), seed=SEEDS)
def test_the_pass_that_is_looked_at_is_the_models_own(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    found = record(model, tokens, ["*"])
    assert list(found) == activation_names(config)
    for name, value in found.items():
        assert tuple(value.shape) == sizes(config, name), name
    torch.testing.assert_close(found["logits"], model(tokens), atol=1e-8, rtol=1e-6)


def test_logits_are_computed_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[torch.Size] = []
    logits = GPT.logits
    monkeypatch.setattr(GPT, "logits", lambda model, h: computed.append(h.shape) or logits(model, h))
    model, tokens = lively_model(SMALL, 0), token_batch(SMALL, 0)
    record(model, tokens, ["embedding", "blocks.*.attn.pattern", "norm"])
    assert computed == []
    record(model, tokens, ["logits"])
    assert len(computed) == 1


@settings(max_examples=40)
@given(config=model_configs(), seed=SEEDS)
def test_each_activation_is_what_torchs_own_hooks_see(config: ModelConfig, seed: int) -> None:
    """The modules' inputs and outputs, taken by hooks while the model runs as it always does."""
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    seen: dict[str, Tensor] = {}

    def watch(module: torch.nn.Module, came: str | None, went: str | None) -> None:
        def hook(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.update({name: value for name, value in ((came, inputs[0]), (went, output)) if name})

        module.register_forward_hook(hook)

    for layer, block in enumerate(cast(list[Block], model.blocks)):
        at = f"blocks.{layer}"
        watch(block, f"{at}.resid_pre", f"{at}.resid_post")
        watch(block.attention, f"{at}.attn.input", f"{at}.attn_out")
        watch(block.mlp, f"{at}.mlp.input", f"{at}.mlp_out")
        watch(block.mlp.up, None, f"{at}.mlp.pre")
        watch(block.mlp.down, f"{at}.mlp.post", None)
        watch(
            block.norm2 if block.pre_norm else block.norm1, *(f"{at}.resid_mid", None)[:: 1 if block.pre_norm else -1]
        )
    watch(model.norm, None, "norm")
    model(tokens)
    expected = dict(seen)  # recording runs these hooks as well
    found = record(model, tokens, expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-8, rtol=1e-6, msg=lambda said, name=name: name + said)


@settings(max_examples=20)
@given(
    config=model_configs(
        n_kv_heads=None,
        norm="layernorm",
        norm_placement="pre",
        positions="learned",
        activation="gelu_tanh",
        qk_norm=False,
        embedding_scaled=False,
        attention=("global",),
    ),
    seed=SEEDS,
)
def test_the_residual_stream_is_what_transformers_gives(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    with torch.no_grad():
        expected = theirs.gpt2(model)(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
    found = record(
        model, tokens, ["blocks.*.resid_pre", "norm"]
    )  # theirs: each block's input, and the last norm's output
    for mine, other in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@settings(max_examples=30)
@given(config=model_configs(), seed=SEEDS, data=st.data())
def test_what_is_patched_with_itself_changes_nothing(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    name = data.draw(st.sampled_from(activation_names(config)))
    found = record(model, tokens, [name, "logits"])
    assert torch.equal(patch(model, tokens, {name: found[name]}), found["logits"])
    assert torch.equal(patch(model, tokens, {name: lambda value: value}), found["logits"])


@pytest.mark.parametrize("name", activation_names(SMALL))
def test_every_name_can_be_patched_and_matters(name: str) -> None:
    model, tokens = lively_model(SMALL, 0), token_batch(SMALL, 0)
    before = model(tokens)
    noise = torch.rand(1, generator=torch.Generator().manual_seed(1)) + 1.5
    after = patch(model, tokens, {name: lambda value: value.roll(1, 1) * noise})
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(model(tokens), before, atol=0, rtol=0)  # and the model is what it was


def test_an_output_of_another_text_makes_the_rest_as_there() -> None:
    """Where a layer's whole output is replaced, what follows knows nothing of the tokens before."""
    model, tokens, others = lively_model(SMALL, 0), token_batch(SMALL, 0), token_batch(SMALL, 1)
    taken = record(model, others, ["blocks.1.resid_post"])
    torch.testing.assert_close(patch(model, tokens, taken), model(others), atol=1e-4, rtol=1e-4)


def test_a_head_set_to_zero_is_its_share_of_the_output_projection_set_to_zero() -> None:
    model, tokens = lively_model(SMALL, 3), token_batch(SMALL, 3)

    def without_head_1(heads: Tensor) -> Tensor:
        heads[:, 1] = 0
        return heads

    found = patch(model, tokens, {"blocks.2.attn.z": without_head_1})
    d = SMALL.head_dim
    with torch.no_grad():
        cast(Block, model.blocks[2]).attention.out.weight[:, d : 2 * d] = 0
    torch.testing.assert_close(found, model(tokens), atol=1e-5, rtol=1e-5)


def test_a_star_stands_for_every_layer() -> None:
    model, tokens = lively_model(SMALL, 0), token_batch(SMALL, 0)
    assert list(record(model, tokens, ["blocks.*.mlp.post"])) == [f"blocks.{i}.mlp.post" for i in range(3)]
    silent = patch(model, tokens, {"blocks.*.mlp_out": torch.zeros(()), "blocks.*.attn_out": torch.zeros(())})
    stream = record(model, tokens, ["embedding"])["embedding"]
    torch.testing.assert_close(silent, model.norm(stream) @ model.output_weight.T)


def test_transformer_lens_full_names_work_too() -> None:
    model, tokens = lively_model(SMALL, 0), token_batch(SMALL, 0)
    names = ["blocks.*.attn.hook_pattern", "blocks.1.hook_resid_mid", "blocks.0.mlp.hook_post"]
    short = ["blocks.*.attn.pattern", "blocks.1.resid_mid", "blocks.0.mlp.post"]
    assert record(model, tokens, names).keys() == record(model, tokens, short).keys()


def test_recording_leaves_the_model_alone_even_while_it_runs() -> None:
    """Another thread may generate with the same model."""
    model, tokens = lively_model(SMALL, 0).train(), token_batch(SMALL, 0)

    def check(value: Tensor) -> Tensor:
        assert model.training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert not any("attend" in vars(module) or "embed" in vars(module) for module in model.modules())
        return value

    patch(model, tokens, {"blocks.1.resid_mid": check})


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    model, tokens = lively_model(replace(SMALL, dropout=0.5), 0).train(), token_batch(SMALL, 0)
    first, second = (record(model, tokens, ["logits"])["logits"] for _ in range(2))
    assert torch.equal(first, second)
    assert model.training
    assert not first.requires_grad


def test_an_unknown_name_is_reported_with_its_nearest() -> None:
    model, tokens = GPT(SMALL), token_batch(SMALL, 0)
    with pytest.raises(UserError, match=r"no activation blocks\.1\.attn\.patter .*blocks\.1\.attn\.pattern"):
        record(model, tokens, ["blocks.1.attn.patter"])
    with pytest.raises(UserError, match=r"no activation blocks\.7\.resid_post .*3 layers"):
        patch(model, tokens, {"blocks.7.resid_post": torch.zeros(())})


def test_what_does_not_fit_is_reported() -> None:
    model, tokens = GPT(SMALL), token_batch(SMALL, 0)
    with pytest.raises(UserError, match=r"the patch of norm is \(3, 9, 16\); the activation is \(2, 9, 16\)"):
        patch(model, tokens, {"norm": torch.zeros(3, 9, 16)})
    with pytest.raises(UserError, match="the patch of norm is None"):
        patch(model, tokens, {"norm": cast("Tensor", lambda value: None)})
    with pytest.raises(UserError, match="10 tokens are more than the model's context of 9"):
        record(model, torch.zeros(1, 10, dtype=torch.long), ["norm"])
    with pytest.raises(UserError, match=r"must be \(B, T\)"):
        record(model, torch.zeros(0, dtype=torch.long), ["norm"])
