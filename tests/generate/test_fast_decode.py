"""One token at a time, by the short way: what `GPT.hidden` gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.generate.fast_decode import FEW_ROWS, LARGE, Decoder, float_product
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch


def caches(model: GPT, batch: int) -> tuple[KVCache, KVCache]:
    one, other = (
        KVCache.empty(model.config, batch, model.config.context_length, model.output_weight.detach()) for _ in "ab"
    )
    return one, other


@settings(max_examples=100)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_what_is_read_is_what_the_model_reads(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    """From prompts of equal or unequal lengths, padded on the right with whatever, to the end of the context."""
    T = config.context_length
    lengths = data.draw(st.lists(st.integers(1, T), min_size=1, max_size=4))
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed, len(lengths))
    short, whole = caches(model, len(lengths))
    for cache in (short, whole):
        model.hidden(tokens[:, : max(lengths)], cache)
        cache.set_lengths(torch.tensor(lengths))
    decoder = Decoder(model, model.config.vocab_size)
    for step in range(T - max(lengths)):
        newest = tokens[:, step]
        found, wanted = decoder.hidden(newest, short), model.hidden(newest[:, None], whole)[:, 0]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(decoder.logits(found), model.logits(wanted), atol=1e-5, rtol=1e-4)
    assert short.lengths.tolist() == whole.lengths.tolist()
    assert (short.longest, short.even) == (whole.longest, whole.even)


@torch.no_grad()
def test_the_first_token_needs_no_prompt() -> None:
    model = lively_model(ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=8, vocab_size=11, context_length=5), 0)
    short, _ = caches(model, 3)
    tokens = torch.tensor([1, 2, 3])
    torch.testing.assert_close(
        Decoder(model, model.config.vocab_size).hidden(tokens, short), model.hidden(tokens[:, None])[:, 0]
    )


@torch.no_grad()
def test_a_full_cache_takes_no_more() -> None:
    model = lively_model(ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=11, context_length=2), 0)
    short, _ = caches(model, 1)
    decoder, token = Decoder(model, model.config.vocab_size), torch.tensor([1])
    for _ in range(2):
        decoder.hidden(token, short)
    with pytest.raises(ValueError, match="3 tokens do not fit into a cache of 2"):
        decoder.hidden(token, short)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 5, FEW_ROWS, FEW_ROWS + 1]),
    outputs=st.integers(LARGE // 64, LARGE // 64 + 9),
    threads=st.integers(1, 4),
    bias=st.booleans(),
    seed=SEEDS,
)
def test_a_product_in_parts_is_the_product(rows: int, outputs: int, threads: int, bias: bool, seed: int) -> None:
    before = torch.get_num_threads()
    torch.manual_seed(seed)
    x, weight = torch.randn(rows, 64).double(), torch.randn(outputs, 64).double()
    shift = torch.randn(outputs).double() if bias else None
    torch.set_num_threads(threads)
    try:
        found = float_product(weight, shift)(x)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, torch.nn.functional.linear(x, weight, shift))
