"""Samples generated in a batch with a cache, against one sample without."""

from __future__ import annotations

import torch
from hypothesis import given, settings

from talewright.config import ModelConfig
from talewright.generate.fast_decode import Decoder
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from tests.generate.cases import (
    EOS,
    NO_END,
    VOCAB,
    configs,
    generate,
    generate_uncached,
    model_of,
    prompt_lists,
    samplings,
)


@settings(max_examples=150)
@given(configs(), prompt_lists(), samplings())
def test_property_9_cached_generation_equals_uncached(config, prompts, sampling):
    model = model_of(config)
    expected = [generate_uncached(model, prompt, sampling, i) for i, prompt in enumerate(prompts)]
    assert generate(model, prompts, sampling) == expected


def test_cached_equals_uncached_over_many_windows_in_float32():
    model = model_of(small(context_length=10, vocab_size=VOCAB + 1)).float()
    prompts, sampling = [[NO_END, 1], [NO_END, *range(4, 10)]], Sampling(max_new_tokens=600, seed=3)
    generated = generate(model, prompts, sampling, end=NO_END)
    assert [len(ids) for ids in generated] == [600, 600]  # past two blocks of random numbers
    assert generated == [generate_uncached(model, prompt, sampling, i, NO_END) for i, prompt in enumerate(prompts)]


@given(configs(), prompt_lists(), samplings())
def test_a_batch_generates_what_its_samples_are_one_by_one(config, prompts, sampling):
    model = model_of(config)
    together = generate(model, prompts, sampling)
    assert together == [generate(model, [prompt], sampling, [i])[0] for i, prompt in enumerate(prompts)]


@given(configs(), prompt_lists(), samplings())
def test_property_8_same_seed_same_output(config, prompts, sampling):
    model = model_of(config)
    assert generate(model, prompts, sampling) == generate(model, prompts, sampling)


def test_other_seeds_and_other_stories_of_one_prompt_differ():
    model, prompts = model_of(small(vocab_size=VOCAB + 1)), [[NO_END, 1]] * 8
    samplings = [Sampling(temperature=2, seed=seed) for seed in (0, 1)]
    generated = [tuple(ids) for sampling in samplings for ids in generate(model, prompts, sampling, end=NO_END)]
    assert len(set(generated)) == 16


def test_stories_that_have_ended_are_no_longer_computed(monkeypatch):
    model, read = model_of(small()), []

    def count(kind):
        hidden = kind.hidden

        def counted(self, tokens, cache=None):
            read.append(tuple(tokens.shape))
            return hidden(self, tokens, cache)

        monkeypatch.setattr(kind, "hidden", counted)

    count(GPT)
    count(Decoder)
    generated = generate(model, [[EOS, 1, 2]] * 30, Sampling(temperature=1, max_new_tokens=20))
    lengths = [len(ids) for ids in generated]
    assert min(lengths) < 10 < max(lengths)
    steps = [(n,) for step in range(1, max(lengths)) if (n := sum(length > step for length in lengths))]
    assert read == [(30, 3), *steps]  # the prompts once, then each row's newest token alone


def test_a_moving_window_reads_each_token_a_bounded_number_of_times(monkeypatch):
    model, read = model_of(small(context_length=20, vocab_size=VOCAB + 1)), []
    hidden = GPT.hidden

    def counted(self, tokens, cache=None):
        read.append(tokens.numel())
        return hidden(self, tokens, cache)

    monkeypatch.setattr(GPT, "hidden", counted)
    generate(model, [[NO_END]], Sampling(max_new_tokens=400), end=NO_END)
    assert sum(read) <= 2 * 400


def test_ids_beyond_the_tokenizer_are_never_drawn():
    model = model_of(small(vocab_size=VOCAB + 50))
    generated = generate(model, [[EOS]] * 20, Sampling(temperature=5, max_new_tokens=50))
    assert max(max(ids) for ids in generated) < VOCAB


def test_nothing_generated_carries_a_gradient():
    model = model_of(small())
    generate(model, [[EOS]], Sampling(max_new_tokens=3))
    assert not torch.is_inference_mode_enabled()
    model(torch.tensor([[1, 2]])).sum().backward()  # the weights are still ordinary tensors


def small(vocab_size: int = VOCAB, context_length: int = 40) -> ModelConfig:
    return ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=vocab_size, context_length=context_length)
