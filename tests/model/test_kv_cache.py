"""Keys and values that are kept: reading in pieces gives what reading at once gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch


def new_cache(model: GPT, batch: int, capacity: int | None = None) -> KVCache:
    return KVCache.empty(model.config, batch, capacity or model.config.context_length, model.embedding.weight.detach())


def pieces(draw: st.DataObject, T: int) -> list[int]:
    """T, cut into lengths."""
    cuts = sorted(draw.draw(st.sets(st.integers(1, T - 1)))) if T > 1 else []
    return [b - a for a, b in zip([0, *cuts], [*cuts, T], strict=True)]


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Near, of float64 models: they may take a softmax or a mean in float32, but a wrong program is far off."""
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=60)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_property_9_cached_equals_uncached(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed)
    cache, found, start = new_cache(model, len(tokens)), [], 0
    for length in pieces(data, config.context_length):
        found.append(model(tokens[:, start : start + length], cache=cache))
        start += length
    assert_same(torch.cat(found, 1), model(tokens))
    assert cache.lengths.tolist() == [config.context_length] * 2


@settings(max_examples=60)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_property_9_cached_equals_uncached_where_rows_are_unequal(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    """Unequal prompts, padded on the right with whatever; then pieces of one length for all rows."""
    T = config.context_length
    lengths = data.draw(st.lists(st.integers(1, T), min_size=1, max_size=4))
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed, len(lengths))
    prompts, held = token_batch(config, seed + 1, len(lengths), max(lengths)), torch.tensor(lengths)
    for i, n in enumerate(lengths):
        prompts[i, :n] = tokens[i, :n]
    cache, expected = new_cache(model, len(lengths)), model(tokens)
    read = model(prompts, cache=cache)
    cache.set_lengths(held)
    for i, n in enumerate(lengths):
        assert_same(read[i, :n], expected[i, :n])
    for length in pieces(data, T - max(lengths)) if max(lengths) < T else []:
        places = cache.lengths[:, None] + torch.arange(length)  # (B, length)
        found = model(tokens.gather(1, places), cache=cache)
        assert_same(found, expected.gather(1, places[..., None].expand(-1, -1, config.vocab_size)))
    assert cache.longest == int(cache.lengths.max())


@settings(max_examples=40)
@given(config=model_configs(context_length=12), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_rows_can_be_chosen_and_go_on_as_before(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 10), min_size=2, max_size=5)))
    rows = torch.tensor(data.draw(st.permutations(range(len(lengths))))[: data.draw(st.integers(1, len(lengths)))])
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed, len(lengths))
    cache, expected = new_cache(model, len(lengths)), model(tokens)
    model(tokens[:, : int(lengths.max())], cache=cache)
    cache.set_lengths(lengths)
    cache.select(rows)
    assert cache.lengths.tolist() == lengths[rows].tolist()
    assert cache.longest == int(lengths[rows].max())
    for _ in range(2):
        places = cache.lengths[:, None]
        found = model(tokens[rows].gather(1, places), cache=cache)
        assert_same(found[:, 0], expected[rows, places[:, 0]])


@settings(max_examples=40)
@given(config=model_configs(context_length=12), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_rows_can_be_replaced_by_others_that_were_read_apart(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    """As when a story outgrows the context: its last tokens are read again, from position 0."""
    before, after = (data.draw(st.lists(st.integers(1, 11), min_size=3, max_size=3)) for _ in range(2))
    rows = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)))
    model, tokens, again = (
        lively_model(config, seed).double(),
        token_batch(config, seed, 3),
        token_batch(config, seed + 1, 3),
    )
    cache, other = new_cache(model, 3), new_cache(model, len(rows))
    model(tokens[:, : max(before)], cache=cache)
    cache.set_lengths(torch.tensor(before))
    lengths = torch.tensor(after)[: len(rows)]
    model(again[rows, : int(lengths.max())], cache=other)
    other.set_lengths(lengths)
    cache.replace(rows, other)
    tokens[rows] = again[rows]
    places = torch.tensor(before).index_copy(0, rows, lengths)[:, None]
    assert torch.equal(cache.lengths, places[:, 0])
    found = model(tokens.gather(1, places), cache=cache)[:, 0]
    assert_same(found, model(tokens)[torch.arange(3), places[:, 0]])


@torch.no_grad()
def test_what_is_kept_takes_the_place_of_computing_again() -> None:
    """One new token costs one token: the cache is really used, not filled and passed over."""
    model = lively_model(ModelConfig(vocab_size=50, context_length=16), 0)
    tokens, cache = token_batch(model.config, 0), new_cache(model, 2)
    model(tokens[:, :8], cache=cache)
    for layer in cache.layers:
        layer.keys.zero_()
    emptied = model(tokens[:, 8:9], cache=cache)
    assert not torch.allclose(emptied[:, 0], model(tokens)[:, 8], atol=1e-3)


@pytest.mark.parametrize(("capacity", "even"), [(4, True), (4, False)])
@torch.no_grad()
def test_more_tokens_than_fit_are_an_error_and_no_wrong_answer(capacity: int, even: bool) -> None:
    model = lively_model(ModelConfig(vocab_size=50, context_length=16), 0)
    tokens, cache = token_batch(model.config, 0), new_cache(model, 2, capacity)
    model(tokens[:, :capacity], cache=cache)
    cache.set_lengths(torch.tensor([capacity, capacity if even else 2]))
    with pytest.raises(ValueError, match="5 tokens do not fit into a cache of 4"):
        model(tokens[:, :1], cache=cache)
