"""Speculative decoding: the text of the ordinary loop, whatever the draft proposes, in fewer passes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.generate.batching import ContinuousBatch, Request
from talewright.generate.engine import Engine
from talewright.generate.fast_decode import Decoder
from talewright.generate.quantization import WeightPrecision
from talewright.generate.sampling import Sampling
from talewright.generate.speculation import DRAFTED, Draft
from talewright.model.kv_cache import KVCache
from tests.generate.cases import (
    BYTE_EOS,
    EOS,
    NO_END,
    VOCAB,
    byte_tokenizer,
    configs,
    generate,
    generate_uncached,
    model_of,
    parrot,
    samplings,
    with_end,
)
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

PROMPTS = st.lists(st.integers(0, VOCAB - 1).filter(lambda token: token != EOS), max_size=12).map(lambda p: [EOS, *p])


class Counting(Decoder):
    """Counts its passes over the model."""

    passes = 0

    def hidden(self, tokens: torch.Tensor, cache: KVCache) -> torch.Tensor:
        self.passes += 1
        return super().hidden(tokens, cache)

    def hidden_of_several(self, tokens: torch.Tensor, cache: KVCache) -> torch.Tensor:
        self.passes += 1
        return super().hidden_of_several(tokens, cache)


def replay(prompt: Sequence[int], text: Sequence[int], right: Sequence[bool] = (True,)) -> Draft:
    """A draft that proposes what the text says, but where `right`, over and over, is false."""

    def draft(ids: Sequence[int], count: int) -> list[int]:
        start = len(ids) - len(prompt)
        proposed = enumerate(text[start : start + count], start)
        return [token if right[i % len(right)] else (token + 1) % VOCAB for i, token in proposed]

    return draft


def run_alone(decoder: Decoder, request: Request, draft: Draft | None, end: int = EOS) -> ContinuousBatch:
    """The batch that generated the request, still holding its cache unless the text ended in the last step."""
    batch = ContinuousBatch(decoder, [end], draft=draft)
    batch.add(request)
    while not request.done:
        batch.step()
    return batch


@settings(max_examples=100)
@given(
    config=configs(),
    prompt=PROMPTS,
    sampling=samplings(),
    right=st.lists(st.booleans(), min_size=1, max_size=7),
    index=st.integers(0, 3),
)
def test_a_text_is_the_ordinary_one_whatever_is_drafted(
    config: ModelConfig, prompt: list[int], sampling: Sampling, right: list[bool], index: int
) -> None:
    """Past the end of the context too: drafts that are right, wrong, or right and wrong in turn."""
    model, prompt = model_of(config), prompt[-config.context_length :]
    wanted = generate_uncached(model, prompt, sampling, index)
    request = Request(prompt=prompt, sampling=sampling, index=index)
    run_alone(Decoder(model, VOCAB), request, replay(prompt, wanted, right))
    assert with_end(request) == wanted


@settings(max_examples=50)
@given(config=configs(), prompt=PROMPTS, sampling=samplings(), data=st.data())
def test_random_drafts_of_any_length_change_nothing(
    config: ModelConfig, prompt: list[int], sampling: Sampling, data: st.DataObject
) -> None:
    model, prompt = model_of(config), prompt[-config.context_length :]
    request = Request(prompt=prompt, sampling=sampling)

    def draft(ids: Sequence[int], count: int) -> list[int]:
        assert list(ids) == [*prompt, *request.tokens]
        assert 1 <= count <= DRAFTED
        return data.draw(st.lists(st.integers(0, VOCAB - 1), max_size=count))

    run_alone(Decoder(model, VOCAB), request, draft)
    assert with_end(request) == generate(model, [prompt], sampling)[0]


@given(
    config=configs(),
    prompt=PROMPTS,
    right=st.lists(st.booleans(), min_size=1, max_size=7),
    length=st.integers(1, 12),
)
def test_the_cache_holds_the_tokens_that_were_kept(
    config: ModelConfig, prompt: list[int], right: list[bool], length: int
) -> None:
    model, prompt = model_of(config), prompt[-config.context_length :]
    sampling = Sampling(max_new_tokens=length, temperature=1.0)
    ordinary, drafted = (Request(prompt=prompt, sampling=sampling) for _ in "ab")
    wanted = run_alone(Decoder(model, VOCAB), ordinary, None, NO_END)
    found = run_alone(Decoder(model, VOCAB), drafted, replay(prompt, ordinary.tokens, right), NO_END)
    assert drafted.tokens == ordinary.tokens
    assert drafted.windowed == ordinary.windowed
    assert found.cache.lengths.tolist() == wanted.cache.lengths.tolist()
    held = found.cache.longest
    assert held == wanted.cache.longest
    for ours, theirs in zip(found.cache.layers, wanted.cache.layers, strict=True):
        for found_part, wanted_part in zip(ours.kept, theirs.kept, strict=True):
            torch.testing.assert_close(found_part[:, :, :held], wanted_part[:, :, :held])


@pytest.mark.parametrize(("right", "passes"), [((True,), 5), ((False,), 13), ((True, False), 7)])
def test_a_right_draft_saves_passes(right: tuple[bool, ...], passes: int) -> None:
    """14 tokens: the first comes from the prompt, and each pass gives one more than its draft got right."""
    shape = ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=VOCAB, context_length=64)
    model, sampling = model_of(shape), Sampling(max_new_tokens=14)
    text = generate(model, [[EOS]], sampling, end=NO_END)[0]
    decoder = Counting(model, VOCAB)
    request = Request(prompt=[EOS], sampling=sampling)
    run_alone(decoder, request, replay([EOS], text, right), NO_END)
    assert request.tokens == text
    assert decoder.passes == passes


@given(config=configs(), right=st.lists(st.booleans(), min_size=1, max_size=5), seed=SEEDS)
def test_log_probabilities_are_the_ordinary_ones(config: ModelConfig, right: list[bool], seed: int) -> None:
    model, sampling = model_of(config), Sampling(max_new_tokens=9, seed=seed, repetition_penalty=1.3)
    ordinary, drafted = (Request(prompt=[EOS], sampling=sampling, alternatives=2) for _ in "ab")
    run_alone(Decoder(model, VOCAB), ordinary, None)
    run_alone(Decoder(model, VOCAB), drafted, replay([EOS], ordinary.tokens, right))
    assert len(drafted.logprobs) == len(ordinary.logprobs)
    for ours, theirs in zip(drafted.logprobs, ordinary.logprobs, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-5)
        assert [token for token, _ in ours.most_likely] == [token for token, _ in theirs.most_likely]


def test_texts_that_are_together_are_not_drafted() -> None:
    shape = ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=VOCAB, context_length=64)
    model, asked = model_of(shape), []
    batch = ContinuousBatch(Decoder(model, VOCAB), [NO_END], draft=lambda ids, count: asked.append(len(ids)) or [])
    batch.add(*(Request(prompt=[EOS], sampling=Sampling(max_new_tokens=n)) for n in (4, 8)))
    while batch.busy:
        batch.step()
    assert asked == [5, 6, 7]  # of the longer text, once it is alone


@settings(max_examples=100)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_several_tokens_are_read_as_the_model_reads_them(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    C = config.context_length
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed, 1)[:, :C]
    start = data.draw(st.integers(0, tokens.shape[1] - 1))
    stop = data.draw(st.integers(start + 1, tokens.shape[1]))
    cache = KVCache.empty(config, 1, C, model.output_weight.detach())
    if start:
        model.hidden(tokens[:, :start], cache)
    found = Decoder(model, config.vocab_size).hidden_of_several(tokens[0, start:stop], cache)
    torch.testing.assert_close(found, model.hidden(tokens[:, :stop])[0, start:], atol=1e-5, rtol=1e-4)
    assert cache.lengths.tolist() == [stop]


@pytest.mark.parametrize(("precision", "drafts"), [("fp32", True), ("bf16", False), ("int8", False)])
def test_an_engine_drafts_where_rounding_is_fine(precision: WeightPrecision, drafts: bool) -> None:
    """Streamed and at once: what a parrot says, and the draft foresees."""
    says: dict[int | str, int | str] = {"a": "b", "b": "c", "c": BYTE_EOS, BYTE_EOS: "a"}
    asked: list[int] = []

    def draft(ids: Sequence[int], count: int) -> list[int]:
        asked.append(count)
        return [ord("b"), ord("c")][:count] if ids[-1] == ord("a") else []

    engine = Engine(parrot(says), byte_tokenizer(), precision=precision, draft=draft)
    sampling = Sampling(temperature=0)
    assert engine.generate([""], sampling)[0].text == "abc"
    assert "".join(engine.stream("", sampling)) == "abc"
    assert bool(asked) == drafts
