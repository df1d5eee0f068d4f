"""From prompts to text: with a model that is made to say known things, and with random ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate import batching
from talewright.generate.batch_memory import BATCH_BYTES
from talewright.generate.batching import MAX_ROWS, Request, _fits
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache
from tests.generate.cases import BYTE_EOS, byte_tokenizer, parrot
from tests.model.shapes import lively_model

GREEDY = Sampling(temperature=0)
TOKENIZER = byte_tokenizer()
ABC = {BYTE_EOS: "a", "a": "b", "b": "c", "c": BYTE_EOS}


def generated_by(after: dict[int | str, int | str], prompts: list[str], sampling: Sampling = GREEDY):
    return Engine(parrot(after), TOKENIZER).generate(prompts, sampling)


def random_engine(context_length: int = 60, vocab_size: int = 257, notify=lambda message: None) -> Engine:
    config = ModelConfig(
        n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=vocab_size, context_length=context_length, dropout=0.5
    )
    return Engine(lively_model(config, 0).double(), TOKENIZER, notify)


def test_prompts_of_unequal_lengths_in_one_batch_each_stop_at_their_end():
    stories = generated_by(ABC, ["zzzzzza", "", "c", "b"])
    assert [story.text for story in stories] == ["zzzzzzabc", "abc", "c", "bc"]
    assert [story.new_tokens for story in stories] == [2, 3, 0, 1]
    assert all(story.finished for story in stories)
    assert [story.prompt for story in stories] == ["zzzzzza", "", "c", "b"]


def test_a_story_that_does_not_end_is_stopped_and_says_so():
    endless, ended = generated_by(
        {"x": "x", "b": "c", "c": BYTE_EOS}, ["x", "b"], Sampling(temperature=0, max_new_tokens=5)
    )
    assert (endless.text, endless.new_tokens, endless.finished) == ("xxxxxx", 5, False)
    assert (ended.text, ended.new_tokens, ended.finished) == ("bc", 1, True)


def test_a_story_that_would_end_with_the_next_token_is_not_finished():
    [story] = generated_by(ABC, ["a"], Sampling(temperature=0, max_new_tokens=2))
    assert (story.text, story.finished) == ("abc", False)


def test_characters_of_several_tokens_are_streamed_whole():
    first, second, third, fourth = "😀".encode()
    after = {"a": first, first: second, second: third, third: fourth, fourth: "."}
    engine = Engine(parrot(after), TOKENIZER)
    sampling = Sampling(temperature=0, max_new_tokens=5)
    assert list(engine.stream("a", sampling)) == ["😀", "."]
    cut = Sampling(temperature=0, max_new_tokens=3)  # in the middle of the character
    assert list(engine.stream("a", cut)) == []
    assert engine.generate(["a"], cut)[0].text == "a"


@settings(max_examples=30)
@given(st.text(max_size=8), st.integers(0, 50), st.integers(0, 9), st.integers(1, 150))
def test_what_is_streamed_is_what_is_generated(prompt, seed, index, max_new_tokens):
    engine = random_engine()
    sampling = Sampling(seed=seed, max_new_tokens=max_new_tokens)
    streamed = list(engine.stream(prompt, sampling, index))
    story = engine.generate(["filler"] * index + [prompt], sampling)[index]
    assert story.prompt + "".join(streamed) == story.text
    assert story.continuation == "".join(streamed)
    assert all(streamed)


@settings(max_examples=30)
@given(st.text("ab .,\n\t\u00a0", max_size=8), st.text(" \t\r\n", min_size=1, max_size=4), st.integers(0, 50))
def test_whitespace_after_a_prompt_changes_nothing(prompt, whitespace, seed):
    engine, sampling = random_engine(), Sampling(seed=seed, max_new_tokens=20)
    stories = engine.generate([prompt, prompt + whitespace, prompt], sampling)
    assert stories[1] == engine.generate([prompt] * 2, sampling)[1]
    assert list(engine.stream(prompt + whitespace, sampling)) == list(engine.stream(prompt, sampling))
    assert stories[1].text.startswith(stories[1].prompt)
    assert stories[1].prompt == stories[0].prompt
    assert (prompt + whitespace).startswith(stories[1].prompt)
    assert not stories[1].prompt.endswith((" ", "\t", "\r", "\n"))


def test_a_story_reads_right_after_a_prompt_that_ends_with_a_space():
    after: dict[int | str, int | str] = {"e": ",", ",": " ", " ": "a", "a": BYTE_EOS, "o": " "}
    stories = generated_by(after, ["Once upon a time ", "to  ", " \n"])
    assert [story.text for story in stories[:2]] == ["Once upon a time, a", "to a"]
    assert stories[2] == generated_by(after, ["", "", ""])[2]


def test_samples_of_several_batches_are_those_of_one(monkeypatch):
    prompts = ["one", "", "the second", "a", "b" * 70, "", "two"]
    engine, sampling = random_engine(), Sampling(temperature=1, max_new_tokens=80)
    together = engine.generate(prompts, sampling)
    monkeypatch.setattr(batching, "MAX_ROWS", 2)
    assert engine.generate(prompts, sampling) == together


def test_no_prompts_generate_no_samples():
    assert random_engine().generate([]) == []


def test_one_prompt_that_is_no_list_is_refused():
    with pytest.raises(TypeError, match="list of prompts"):
        random_engine().generate("Once upon a time")


def test_the_prompts_end_of_text_is_plain_text():
    [story] = generated_by({">": "a", "a": BYTE_EOS}, ["<|endoftext|>"])
    assert story.text == "<|endoftext|>a"


def test_the_context_being_full_is_said_once_for_all_stories():
    said: list[str] = []
    engine = random_engine(context_length=16, notify=said.append)
    engine.generate(["a", "bc", "d"], Sampling(max_new_tokens=100, temperature=0.1))
    assert len(said) == 1
    assert "context of 16 tokens" in said[0]
    list(engine.stream("a", Sampling(max_new_tokens=100, temperature=0.1)))
    assert len(said) == 2
    engine.generate(["a"], Sampling(max_new_tokens=14))
    assert len(said) == 2  # an end of text, a prompt of 1 and 14 tokens fit


def test_a_prompt_longer_than_the_context_is_cut_and_this_is_said():
    said: list[str] = []
    engine = Engine(parrot(ABC, context_length=8), TOKENIZER, said.append)
    [story] = engine.generate(["z" * 20 + "a"], GREEDY)
    assert story.text == "z" * 20 + "abc"
    assert "21 tokens" in said[0]
    assert "context of 8" in said[0]


def test_the_model_is_left_as_it_was_and_used_without_dropout():
    engine = random_engine()
    expected = engine.generate(["a"], GREEDY)
    engine.model.train()
    assert engine.generate(["a"], GREEDY) == expected
    assert engine.model.training
    stream = engine.stream("a", GREEDY)
    next(stream)
    stream.close()  # stopped by the reader
    assert engine.model.training


def test_a_model_that_was_trained_on_between_two_samples_generates_as_it_is_now():
    engine = random_engine()
    before = engine.generate(["a"], GREEDY)[0].text
    torch.manual_seed(3)
    for parameter in engine.model.parameters():
        parameter.data += torch.randn_like(parameter)
    assert engine.generate(["a"], GREEDY)[0].text != before


def test_a_tokenizer_with_more_ids_than_the_model_is_refused():
    with pytest.raises(UserError, match=r"257 ids, but model.vocab_size is 200"):
        random_engine(vocab_size=200)


def test_ids_that_the_tokenizer_lacks_are_never_generated():
    story = random_engine(vocab_size=600).generate(["a"], Sampling(temperature=5, max_new_tokens=200))[0]
    assert story.new_tokens > 10


@given(
    st.sampled_from([(2, 8, 64), (12, 12, 768), (6, 6, 288)]),
    st.integers(1, 2048),
    st.integers(1, 10_000),
    st.booleans(),
)
def test_a_batch_takes_no_more_memory_than_it_may(shape, prompt, new_tokens, grouped):
    layers, heads, width = shape
    config = ModelConfig(
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=heads // 2 if grouped else None,
        d_model=width,
        d_ff=4 * width,
        vocab_size=50257,
        context_length=2048,
    )
    request = Request(prompt=[0] * prompt, sampling=Sampling(max_new_tokens=new_tokens))
    rows = max(n for n in range(1, MAX_ROWS + 2) if n == 1 or _fits([request] * n, config, BATCH_BYTES))
    room = min(2048, prompt + new_tokens)
    cache = KVCache.empty(config, 1, room, like=torch.empty(0))
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert rows == 1 or rows * (held + prompt * 4 * config.d_ff + 4 * config.vocab_size) <= BATCH_BYTES
    assert rows <= MAX_ROWS


def test_weights_in_bfloat16_tell_stories_too():
    engine = random_engine()
    engine.model.to(torch.bfloat16)
    assert isinstance(engine.model, GPT)
    assert engine.generate(["a", "bcd"], Sampling(max_new_tokens=80))[1].new_tokens > 0
