"""Decode one token per row by the model's own forward pass, for a model whose modules have hooks.

Fast decoding calls no module, so a hook on one would not run. A model with hooks is therefore decoded as it is trained:
module by module, over the same cache.
"""

from __future__ import annotations

from torch import Tensor

from talewright.generate.fast_decode import Decoder
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache


class HookedDecoder(Decoder):
    """A `Decoder` whose every token passes through the model's modules, and so through their hooks."""

    def __init__(self, model: GPT, vocab_size: int) -> None:
        self.model, self.vocab_size = model, vocab_size
        self.logits = lambda hidden: model.logits(hidden)[..., :vocab_size]

    def hidden(self, tokens: Tensor, cache: KVCache) -> Tensor:
        return self.model.hidden(tokens[:, None], cache)[:, 0]

    def hidden_of_several(self, tokens: Tensor, cache: KVCache) -> Tensor:
        return self.model.hidden(tokens[None], cache)[0]


def make_decoder(model: GPT, vocab_size: int) -> Decoder:
    """The fast decoder, or one that runs the hooks of a model that has any."""
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return HookedDecoder(model, vocab_size) if hooked else Decoder(model, vocab_size)
