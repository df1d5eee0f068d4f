"""Decoding through the model's own modules: what `GPT.hidden` gives, and with its hooks."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.generate.fast_decode import Decoder
from talewright.generate.hooked_decode import HookedDecoder, make_decoder
from talewright.model.kv_cache import KVCache
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch


@settings(max_examples=40)
@given(config=model_configs(), seed=SEEDS, data=st.data())
@torch.no_grad()
def test_both_decoders_read_the_same(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    """From prompts of unequal lengths to the end of the context, one token at a time."""
    T = config.context_length
    lengths = data.draw(st.lists(st.integers(1, T), min_size=1, max_size=4))
    model, tokens = lively_model(config, seed).double(), token_batch(config, seed, len(lengths))
    decoders, states = [kind(model, config.vocab_size) for kind in (Decoder, HookedDecoder)], []
    for decoder in decoders:
        cache = KVCache.empty(config, len(lengths), T, model.output_weight.detach())
        model.hidden(tokens[:, : max(lengths)], cache)
        cache.set_lengths(torch.tensor(lengths))
        hidden = [decoder.hidden(tokens[:, step], cache) for step in range(T - max(lengths))]
        states.append((torch.stack([decoder.logits(h) for h in hidden]) if hidden else None, cache.lengths.tolist()))
    torch.testing.assert_close(states[0][0], states[1][0], atol=1e-5, rtol=1e-4)
    assert states[0][1] == states[1][1]


def test_only_a_model_with_hooks_takes_the_longer_way() -> None:
    model = lively_model(ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=11, context_length=4), 0)
    assert type(make_decoder(model, 11)) is Decoder
    for register in (model.blocks[0].register_forward_hook, model.norm.register_forward_pre_hook):
        hook = register(lambda *given: None)
        assert type(make_decoder(model, 11)) is HookedDecoder
        hook.remove()
    assert type(make_decoder(model, 11)) is Decoder
