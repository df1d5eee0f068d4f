"""Requests that come, go and are stopped at any time: each is generated as it would be alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from talewright.config import ModelConfig
from talewright.generate import batch_memory, batching
from talewright.generate.batching import ContinuousBatch, Request, generate_all
from talewright.generate.fast_decode import Decoder
from talewright.generate.sampling import Sampling
from tests.generate.cases import EOS, NO_END, VOCAB, configs, model_of, prompt_lists, samplings


class Arrivals(RuleBasedStateMachine):
    """Random arrivals of random requests, with stops between the steps."""

    @initialize(config=configs(), seed=st.integers(0, 3))
    def begin(self, config: ModelConfig, seed: int) -> None:
        self.decoder = Decoder(model_of(config, seed), VOCAB)
        self.batch = ContinuousBatch(self.decoder, [EOS])
        self.requests: list[Request] = []
        self.kept: dict[Request, int] = {}

    @rule(prompts=prompt_lists(3), sampling=samplings(), index=st.integers(0, 9))
    def arrive(self, prompts: list[list[int]], sampling: Sampling, index: int) -> None:
        context = self.decoder.model.config.context_length
        cut = [prompt[-context:] for prompt in prompts]
        new = [Request(prompt=prompt, sampling=sampling, index=index + i) for i, prompt in enumerate(cut)]
        self.requests += new
        self.batch.add(*new)

    @rule(count=st.integers(1, 12))
    def steps(self, count: int) -> None:
        for _ in range(count):
            self.batch.step()

    @precondition(lambda self: any(not request.done for request in self.requests))
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([request for request in self.requests if not request.done]))
        request.stopped = True
        self.kept[request] = len(request.tokens)

    @invariant()
    def a_stopped_request_gets_no_more_tokens(self) -> None:
        assert all(len(request.tokens) == count for request, count in getattr(self, "kept", {}).items())

    def teardown(self) -> None:
        if not hasattr(self, "batch"):
            return
        while self.batch.busy:
            self.batch.step()
        assert len(self.batch.token) == 0
        assert self.batch.cache.capacity <= batching.BLOCK  # the memory was given back
        for request in self.requests:
            assert request.done
            alone = Request(prompt=request.prompt, sampling=request.sampling, index=request.index)
            generate_all(self.decoder, [alone], [EOS])
            if request.stopped:
                assert request.tokens == alone.tokens[: len(request.tokens)]
            else:
                assert (request.tokens, request.finished) == (alone.tokens, alone.finished)
                assert request.windowed == alone.windowed


TestArrivals = Arrivals.TestCase
TestArrivals.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(prompt_lists(), samplings(), st.integers(1, 9))
def test_prompts_read_in_slices_are_read_as_a_whole(prompts, sampling, size):
    decoder = Decoder(model_of(small()), VOCAB)
    whole, sliced = ([Request(prompt=p, sampling=sampling, index=i) for i, p in enumerate(prompts)] for _ in range(2))
    generate_all(decoder, whole, [EOS])
    alone = batching.SLICE_ALONE
    try:
        batching.SLICE_ALONE = size
        generate_all(decoder, sliced, [EOS])
    finally:
        batching.SLICE_ALONE = alone
    assert [r.tokens for r in sliced] == [r.tokens for r in whole]


def test_a_long_prompt_stops_nobody(monkeypatch):
    """Beside running texts no more than a slice of it is read in a step, and a short prompt overtakes it."""
    monkeypatch.setattr(batching, "SLICE", 8)
    decoder = Decoder(model_of(small(context_length=200, vocab_size=VOCAB + 1)), VOCAB)
    batch = ContinuousBatch(decoder, [NO_END])
    first, long, short = (
        Request(prompt=[NO_END, *[1] * count], sampling=Sampling(max_new_tokens=100)) for count in (1, 150, 2)
    )
    batch.add(first)
    batch.step()
    batch.add(long)
    batch.step()
    batch.add(short)
    for step in range(3):
        assert len(first.tokens) == 2 + step
        batch.step()
    assert short.tokens
    assert not long.tokens
    while not long.tokens:
        batch.step()
    assert 18 < len(first.tokens) < 30  # 150 tokens in slices of 8


def test_a_batch_on_a_gpu_may_take_half_of_what_is_free(monkeypatch):
    least = batch_memory.BATCH_BYTES
    for free, expected in ((10 * 2**30, 5 * 2**30), (2**30, least), (None, least)):
        monkeypatch.setattr(batch_memory, "device_memory", lambda device, free=free: free)
        assert batch_memory.batch_memory(torch.device("cuda")) == expected
        assert batch_memory.batch_memory(torch.device("cpu")) == least


def test_no_more_join_than_fit_into_memory(monkeypatch):
    model = model_of(small(context_length=64, vocab_size=VOCAB + 1))
    bytes_ = batch_memory.row_bytes(model.config, 2, 12)
    monkeypatch.setattr(batch_memory, "BATCH_BYTES", 3 * bytes_)
    batch = ContinuousBatch(Decoder(model, VOCAB), [NO_END])
    requests = [Request(prompt=[NO_END, 1], sampling=Sampling(max_new_tokens=10), index=i) for i in range(8)]
    batch.add(*requests)
    most = 0
    while batch.busy:
        batch.step()
        most = max(most, len(batch.running) + sum(len(group.requests) for group in batch.reading))
    assert most == 3
    assert [len(request.tokens) for request in requests] == [10] * 8


def test_settings_do_not_mix_within_a_batch():
    decoder = Decoder(model_of(small()), VOCAB)
    samplings = [Sampling(temperature=0), Sampling(temperature=2, seed=1), Sampling(top_k=1, repetition_penalty=1.5)]
    requests = [Request(prompt=[EOS, 1], sampling=sampling) for sampling in samplings]
    generate_all(decoder, requests, [EOS])
    for request in requests:
        alone = Request(prompt=[EOS, 1], sampling=request.sampling)
        generate_all(decoder, [alone], [EOS])
        assert request.tokens == alone.tokens


def small(vocab_size: int = VOCAB, context_length: int = 40) -> ModelConfig:
    return ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=vocab_size, context_length=context_length)
