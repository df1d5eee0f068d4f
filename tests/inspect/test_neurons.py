"""Neurons and the stories in which they are most active."""

from __future__ import annotations

import random
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect import record
from talewright.inspect.neurons import find_neurons, parse_neurons, peak_activations
from talewright.model.gpt import GPT, Block
from tests.inspect.cases import sequences_of, small_config, small_tokenizer
from tests.inspect.test_heads import random_sequences
from tests.model.shapes import SEEDS, lively_model, model_configs


@settings(max_examples=25)
@given(config=model_configs(), seed=SEEDS)
def test_peaks_are_the_largest_of_each_story_whatever_its_batch(config: ModelConfig, seed: int) -> None:
    model, sequences = lively_model(config, seed), random_sequences(config, seed, 4)
    highest, where = peak_activations(model, sequences)
    for i, tokens in enumerate(sequences):
        alone = record(model, torch.from_numpy(tokens[None, :-1]), ["blocks.*.mlp.post"]).values()
        for layer, hidden in enumerate(alone):
            np.testing.assert_allclose(highest[i, layer], hidden[0].amax(0), atol=1e-4, rtol=1e-4)
            at = hidden[0].gather(0, torch.from_numpy(where[i, layer])[None])[0]
            np.testing.assert_allclose(at, hidden[0].amax(0), atol=1e-4, rtol=1e-4)


def model_with_neuron_for(token: int, config: ModelConfig) -> GPT:
    """A model whose neuron 1.5 reads one token's embedding and nothing else."""
    torch.manual_seed(0)
    model = GPT(config).eval()
    block = cast(Block, model.blocks[1])
    with torch.no_grad():
        for each in cast(list[Block], model.blocks):
            each.mlp.up.weight.zero_()  # all other neurons are silent
        row = model.embedding.weight[token]
        block.mlp.up.weight[5] = 100 * row / row.norm()
    return model


def test_a_neuron_that_reads_one_word_is_found_with_its_stories() -> None:
    tokenizer = small_tokenizer()
    token, draw = tokenizer.encode(" bird")[0], random.Random(0)
    words = [" the", " dog", " ran", " Tom", " red", " ball", " and", " it"]
    texts = ["".join(draw.choices(words, k=20)) + (" bird the park" if i % 2 else " the park") for i in range(60)]
    sequences = sequences_of(tokenizer, texts)
    first = find_neurons(model_with_neuron_for(token, small_config()), sequences, number=5)[0]
    assert (first.name, first.token, first.share) == ("1.5", token, 1.0)
    for example in first.examples:
        tokens = sequences[example.story]
        assert tokens[example.position] == token
        assert len(example.values) == len(tokens) - 1
        assert example.values.argmax() == example.position
    strengths = [example.values.max() for example in first.examples]
    assert strengths == sorted(strengths, reverse=True)


def test_examples_that_agree_come_first_and_the_strongest_of_them_before_others() -> None:
    tokenizer = small_tokenizer()
    sequences = sequences_of(tokenizer)
    for neuron in find_neurons(lively_model(small_config(), 1), sequences, number=6):
        keys = [
            (sequences[each.story][each.position] != neuron.token, -each.values[each.position])
            for each in neuron.examples
        ]
        assert [key[0] for key in keys] == sorted(key[0] for key in keys)
        assert neuron.peak == max(each.values.max() for each in neuron.examples)


def test_named_neurons_are_shown() -> None:
    tokenizer = small_tokenizer()
    found = find_neurons(lively_model(small_config(), 0), sequences_of(tokenizer), wanted=[(0, 3), (1, 0)])
    assert [neuron.name for neuron in found] == ["0.3", "1.0"]


def test_chosen_neurons_respond_to_different_tokens() -> None:
    tokenizer = small_tokenizer()
    found = find_neurons(lively_model(small_config(), 0), sequences_of(tokenizer), number=6)
    assert len({neuron.token for neuron in found}) == len(found) > 1


def test_a_neuron_that_the_model_lacks_is_an_error() -> None:
    config = small_config()
    assert parse_neurons("0.12, 1.23", config) == [(0, 12), (1, 23)]
    for wrong in ("2.0", "0.24", "7", "a.b"):
        with pytest.raises(UserError, match=r"from 0\.0 to 1\.23"):
            parse_neurons(f"0.1,{wrong}", config)
