"""Switching parts off and steering: against zeroed weights, patches, and generation without a cache."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect import patch, record
from talewright.inspect.interventions import Steering, intervened, mean_outputs, steering_vector
from talewright.inspect.parts import Part, all_parts, parse_part
from talewright.model.gpt import GPT, Block
from tests.generate.cases import BYTE_EOS, byte_tokenizer
from tests.inspect.cases import sequences_of, small_config, small_tokenizer
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

TOKENIZER = small_tokenizer()
BYTES = ModelConfig(
    n_layers=2, n_heads=2, d_model=16, d_ff=24, vocab_size=257, context_length=24, positions="rotary", qk_norm=True
)


def zeroed(model: GPT, part: Part) -> GPT:
    """The model with the weights through which the part writes set to 0."""
    model = copy.deepcopy(model)
    block = cast(Block, model.blocks[part.layer])
    with torch.no_grad():
        if part.head is None:
            for parameter in block.mlp.down.parameters():
                parameter.zero_()
        else:
            d = model.config.head_dim
            block.attention.out.weight[:, part.head * d : (part.head + 1) * d] = 0
    return model


@settings(max_examples=40)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_a_part_that_is_off_is_one_whose_weights_are_zero(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    off = data.draw(st.lists(st.sampled_from(all_parts(config)), min_size=1, max_size=3))
    expected, before = model, model(tokens)
    for part in off:
        expected = zeroed(expected, part)
    with intervened(model, off) as changed:
        torch.testing.assert_close(changed(tokens), expected(tokens), atol=1e-8, rtol=1e-6)
        assert torch.equal(model(tokens), before)  # which others may be using
    assert torch.equal(changed(tokens), before)


@settings(max_examples=20)
@given(config=model_configs(vocab_size=400, context_length=64), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_a_part_at_its_mean_is_one_that_is_patched_with_it(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    """The mean by hand: one sequence at a time, without padding."""
    model, sequences = lively_model(config, seed).double(), sequences_of(TOKENIZER)
    part = data.draw(st.sampled_from(all_parts(config)))
    name = f"blocks.{part.layer}." + ("mlp_out" if part.head is None else "attn.z")
    outputs = [record(model, torch.from_numpy(each[None, :-1]), [name])[name][0] for each in sequences]
    if part.head is not None:
        outputs = [each[part.head] for each in outputs]
    mean = torch.cat(outputs).mean(0)

    def at_mean(value: Tensor) -> Tensor:
        if part.head is None:
            return mean.expand_as(value)
        value[:, part.head] = mean
        return value

    means = mean_outputs(model, sequences)
    torch.testing.assert_close(means[part].double(), mean, atol=1e-4, rtol=1e-4)
    tokens = token_batch(config, seed)
    with intervened(model, [part], means) as changed:
        torch.testing.assert_close(changed(tokens), patch(model, tokens, {name: at_mean}), atol=1e-3, rtol=1e-3)


@settings(max_examples=20)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_steering_is_adding_to_the_stream(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    model, tokens = lively_model(config, seed), token_batch(config, seed)
    layer, strength = data.draw(st.integers(0, config.n_layers - 1)), data.draw(st.sampled_from([-2.0, 0.5, 1.0]))
    vector = torch.randn(config.d_model, generator=torch.Generator().manual_seed(seed))
    by_hand = patch(model, tokens, {f"blocks.{layer}.resid_post": lambda stream: stream + strength * vector})
    with intervened(model, steering=[Steering(layer=layer, vector=vector, strength=strength)]) as changed:
        torch.testing.assert_close(changed(tokens), by_hand)


def test_a_direction_is_the_difference_of_the_means_of_texts() -> None:
    model, sets = lively_model(small_config(), 0), (["Tom ran to the park.", "Lily saw a dog."], ["It was a red ball."])
    means = []
    for texts in sets:
        streams = []
        for text in texts:
            tokens = torch.tensor([[TOKENIZER.begin_id, *TOKENIZER.encode(text)]])
            streams.append(record(model, tokens, ["blocks.1.resid_post"])["blocks.1.resid_post"][0, 1:].mean(0))
        means.append(sum(streams) / len(streams))
    torch.testing.assert_close(steering_vector(model, TOKENIZER, *sets, layer=1), means[0] - means[1])


@pytest.mark.parametrize("speculative", [False, True])
@pytest.mark.parametrize("architecture", [{}, {"short_convolution": True, "value_residual": True, "bigrams": 60}])
def test_generation_is_that_of_the_changed_model(speculative: bool, architecture: dict[str, Any]) -> None:
    """Prompts of unequal lengths: each token is the argmax of the changed model's logits."""
    config = ModelConfig(**{**vars(BYTES), **architecture})
    model, tokenizer = lively_model(config, 1), byte_tokenizer()
    prompts, sampling = ["Tom", "A dog saw"], Sampling(temperature=0, max_new_tokens=14)
    vector = torch.randn(config.d_model, generator=torch.Generator().manual_seed(0))
    draft = (lambda ids, count: [int(ids[-1])] * count) if speculative else None
    prompts = prompts[:1] if speculative else prompts
    plain = [sample.text for sample in Engine(model, tokenizer, draft=draft).generate(prompts, sampling)]
    with intervened(model, [Part(0, 1), Part(1)], steering=[Steering(layer=0, vector=vector)]) as changed:
        texts = [sample.text for sample in Engine(changed, tokenizer, draft=draft).generate(prompts, sampling)]
        assert texts == [by_argmax(changed, prompt, 14) for prompt in prompts]
    assert texts != plain
    assert [sample.text for sample in Engine(model, tokenizer).generate(prompts, sampling)] == plain


@torch.no_grad()
def by_argmax(model: GPT, prompt: str, count: int) -> str:
    tokenizer = byte_tokenizer()
    ids, new = [BYTE_EOS, *tokenizer.encode(prompt)], []
    for _ in range(count):
        token = int(model(torch.tensor([[*ids, *new]]))[0, -1].argmax())
        if token == BYTE_EOS:
            break
        new.append(token)
    return prompt + tokenizer.decode(new)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_fewer_bits_keep_the_changes(precision) -> None:
    model, tokenizer = lively_model(BYTES, 1), byte_tokenizer()
    vector = torch.zeros(BYTES.d_model)
    sampling = Sampling(temperature=0, max_new_tokens=8)
    plain = Engine(model, tokenizer, precision=precision).generate(["Tom"], sampling)
    with intervened(model, all_parts(BYTES), steering=[Steering(layer=0, vector=vector)]) as changed:
        silent = Engine(changed, tokenizer, precision=precision).generate(["Tom"], sampling)
    assert silent[0].text != plain[0].text


def test_a_mistake_is_one_clear_error() -> None:
    model = lively_model(small_config(), 0)
    with (
        pytest.raises(UserError, match=r"the model has no 0\.2: its heads are 0\.0 to 1\.1"),
        intervened(model, [Part(0, 2)]),
    ):
        pass
    with pytest.raises(UserError, match=r"the model has no layer 2; its layers are 0 to 1"):
        steering_vector(model, TOKENIZER, ["Tom"], ["Lily"], 2)
    with pytest.raises(UserError, match="one of them has no text, or an empty one"):
        steering_vector(model, TOKENIZER, ["Tom"], [], 1)
    with (
        pytest.raises(UserError, match=r"the direction has the shape \(3,\); the model's stream is 16 wide"),
        intervened(model, steering=[Steering(layer=0, vector=torch.zeros(3))]),
    ):
        pass
    with pytest.raises(UserError, match="no text to average over"):
        mean_outputs(model, [])


@pytest.mark.parametrize("part", all_parts(small_config()))
def test_a_parts_name_can_be_read_back(part: Part) -> None:
    assert parse_part(part.name, small_config()) == part
    assert parse_part(f" {part.name.lower()} ", small_config()) == part


@pytest.mark.parametrize("name", ["", "1", "MLP", "2.0", "MLP 2", "1.2", "head 1.1"])
def test_a_name_of_no_part_is_an_error(name: str) -> None:
    with pytest.raises(UserError):
        parse_part(name, small_config())
