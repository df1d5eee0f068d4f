"""Decode one token per row: the arithmetic of `GPT.hidden` over the cache, with little Python between the products.

For one token of a small model most of the time goes to calling modules, not to arithmetic. So this is the one place
that writes the forward pass out a second time; `tests/generate/test_fast_decode.py` holds the two together, and
`benchmarks/fast_decode.py` measures what it buys: for one stream 1.27 times the tokens per second at `mini-2m` and 1.17
times at `story-1m`, on two CPU cores; for 32 streams nothing (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from talewright.model.attention import fused_attention
from talewright.model.convolution import ShortConvolution
from talewright.model.gpt import GPT, Block
from talewright.model.kv_cache import KVCache, LayerCache
from talewright.model.masks import AttentionMetadata
from talewright.model.norm import LayerNorm, RMSNorm
from talewright.model.positions import rotate

Map = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor | None], Map]
"""How a linear layer's weight (N, K) and bias (N,) become what maps (B, K) to (B, N)."""

FEW_ROWS = 32
LARGE = 1 << 17
"""Up to this many rows, and from this many weights on, a product on a CPU is faster in parts."""


class DecodeMetadata(NamedTuple):
    """Positions and masks of one new token per row."""

    stop: int
    """Number of keys, including the new tokens' own: S."""
    positions: Tensor | None
    """(B,) where the rows hold different numbers of tokens; None where all are at stop - 1."""
    rotation: Tensor | None
    """Rotary cosines and sines, (2, 1 or B, 1, d)."""
    held: Tensor | None
    """(B, 1, 1, S): which keys each row holds; None where all hold all."""
    first_values: Tensor | None = None
    """The first layer's values (B, K, d), where later layers mix them with their own."""


class Decoder:
    """Reads one token per row at a time with a model's weights, which may be trained between two reads.

    `logits` maps what `hidden` gives, (B, D), to the logits of the first `vocab_size` tokens, (B, V).
    """

    def __init__(self, model: GPT, vocab_size: int, product: Product | None = None) -> None:
        """vocab_size: a model may have more ids than its tokenizer, which are never generated; product: how matrix
        products are computed, by default in the weights' own precision.
        """
        self.model, self.vocab_size = model, vocab_size
        product = product or float_product
        self.layers = [_Layer(cast(Block, block), product) for block in model.blocks]
        self.norm = _norm(cast(LayerNorm | RMSNorm, model.norm))
        self.first_values = _first_values(cast(Block, model.blocks[0]), product)
        self.logits = product(model.output_weight[:vocab_size], None)

    def hidden(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """What the output layer reads after the newest token of each row (B,), which comes after those in the cache:
        (B, D). Raises ValueError if it does not fit.
        """
        metadata = self._metadata(cache)
        x = self._embed(tokens, metadata, cache)
        metadata = metadata._replace(first_values=self.first_values(x))
        for layer, layer_cache in zip(self.layers, cache.layers, strict=False):
            x = layer(x, metadata, layer_cache)
        cache.advance(1)
        return self.norm(x)

    def hidden_of_several(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """What the output layer reads after each of several tokens (T,), which come after those in a cache of one row:
        (T, D). Raises ValueError if they do not fit.
        """
        metadata = self.model.metadata(tokens[None], cache)
        x = self.model.embed(tokens[None], metadata, cache)[0]
        metadata = metadata._replace(first_values=self.first_values(x))
        for layer, layer_cache in zip(self.layers, cache.layers, strict=False):
            x = layer(x, metadata, layer_cache)
        cache.advance(len(tokens))
        return self.norm(x)

    def _metadata(self, cache: KVCache) -> DecodeMetadata:
        stop, table = cache.longest + 1, self.model.table
        if stop > cache.capacity:
            raise ValueError(f"{stop} tokens do not fit into a cache of {cache.capacity}")
        rotary = self.model.config.positions == "rotary"
        if cache.even:
            return DecodeMetadata(stop, None, table[:, stop - 1 : stop, None] if rotary else None, None)
        positions = cache.lengths
        keys = torch.arange(stop, device=positions.device)
        held = keys <= positions[:, None, None, None]
        return DecodeMetadata(stop, positions, table[:, positions, None] if rotary else None, held)

    def _embed(self, tokens: Tensor, metadata: DecodeMetadata, cache: KVCache) -> Tensor:
        """The residual stream as the first block reads it: (B, D)."""
        model, position = (
            self.model,
            slice(metadata.stop - 1, metadata.stop) if metadata.positions is None else metadata.positions,
        )
        x = F.embedding(tokens, model.embedding.weight)
        if model.config.embedding_scaled:
            x = x * model.config.d_model**0.5
        if model.bigrams is not None:
            at = _slots(tokens, metadata)
            x = x + model.bigrams.cached(tokens[:, None] + 1, cache.layers[-1], at, metadata.stop)[:, 0]
        if model.positions is not None:
            return x + model.positions.weight[position]
        return x + model.table[position] if model.config.positions == "sinusoidal" else x


class _Layer:
    """One block, for one token of each row, or for several tokens of one row (B = T)."""

    def __init__(self, block: Block, product: Product) -> None:
        attention, mlp = block.attention, block.mlp
        self.pre_norm, self.norm1, self.norm2 = block.pre_norm, _norm(block.norm1), _norm(block.norm2)
        linears = (attention.qkv, attention.out, mlp.up, mlp.down)
        self.qkv, self.out, self.up, self.down = (product(linear.weight, linear.bias) for linear in linears)
        self.activate = _gelu if mlp.activation == "gelu" else mlp.activate
        self.heads = (attention.n_heads, attention.kv_heads, attention.kv_heads)
        self.head_dim, self.scale, self.window = attention.head_dim, attention.scale, attention.window
        self.normed = isinstance(attention.q_norm, RMSNorm)
        self.q_norm, self.k_norm, self.mix = attention.q_norm, attention.k_norm, attention.mix
        convolutions = (block.convolution1, block.convolution2, mlp.convolution)
        self.convolve1, self.convolve2, self.convolve3 = map(_convolve, convolutions)

    def __call__(self, x: Tensor, metadata: DecodeMetadata | AttentionMetadata, cache: LayerCache) -> Tensor:  # (B, D)
        if self.pre_norm:
            x = x + self.attend(self.norm1(x), metadata, cache)
            return x + self.feed_forward(self.norm2(x), metadata, cache)
        x = self.norm1(x + self.attend(x, metadata, cache))
        return self.norm2(x + self.feed_forward(x, metadata, cache))

    def feed_forward(self, x: Tensor, metadata: DecodeMetadata | AttentionMetadata, cache: LayerCache) -> Tensor:
        """What the MLP adds to the residual stream: (B, D)."""
        h = self.up(self.convolve2(x, metadata, cache))
        return self.down(self.activate(self.convolve3(h, metadata, cache)))

    def attend(self, x: Tensor, metadata: DecodeMetadata | AttentionMetadata, cache: LayerCache) -> Tensor:
        """What attention adds to the residual stream: (B, D)."""
        x = self.convolve1(x, metadata, cache)
        q, k, v = self.qkv(x).view(len(x), -1, self.head_dim).split(self.heads, 1)  # (B, H, d), (B, K, d), (B, K, d)
        if self.normed:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.mix is not None:
            v = self.mix[0] * v + self.mix[1] * cast(Tensor, metadata.first_values)
        if isinstance(metadata, AttentionMetadata):
            return self.out(self._attend_in_turn(q, k, v, metadata, cache))
        if metadata.rotation is not None:
            q, k = rotate(q, metadata.rotation), rotate(k, metadata.rotation)
        cache.put(k, v, metadata.stop - 1 if metadata.positions is None else metadata.positions)
        first = 0 if self.window is None or metadata.held is not None else max(0, metadata.stop - self.window)
        keys, values = (kept[:, :, first : metadata.stop] for kept in (cache.keys, cache.values))
        y = fused_attention(q[:, :, None], keys, values, self._mask(metadata), False, self.scale)
        return self.out(y.view(len(x), -1))

    def _attend_in_turn(
        self, q: Tensor, k: Tensor, v: Tensor, metadata: AttentionMetadata, cache: LayerCache
    ) -> Tensor:
        """What the heads of several tokens of one row, (T, H, d) or (T, K, d), attend to: (T, D)."""
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))  # (1, H or K, T, d)
        if metadata.rotation is not None:
            q, k = rotate(q, metadata.rotation), rotate(k, metadata.rotation)
        keys, values = cache.append(k, v, metadata.positions, metadata.stop)
        mask = metadata.masks[self.window]
        y = fused_attention(q, keys, values, mask, mask is None and metadata.causal, self.scale)
        return y[0].transpose(0, 1).flatten(1)

    def _mask(self, metadata: DecodeMetadata) -> Tensor | None:
        """Which keys each row attends to, given the window: (B, 1, 1, S)."""
        if metadata.held is None or self.window is None or self.window >= metadata.stop:
            return metadata.held
        keys = torch.arange(metadata.stop, device=metadata.held.device)
        return metadata.held & (keys > cast(Tensor, metadata.positions)[:, None, None, None] - self.window)


def float_product(weight: Tensor, bias: Tensor | None) -> Map:
    """The product in the weight's own precision.

    For a few rows a CPU is limited by reading the weights. torch's own product leaves that to one core; cut into as
    many parts as there are threads, as a batch, it uses all of them: four times as fast for one row of 768 and 50,257
    outputs on two cores, and twice for eight rows. On one thread it is half as fast for 2 to 5 rows.
    """
    parts, (N, K) = torch.get_num_threads(), weight.shape
    cuttable = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    if parts == 1 or not cuttable or weight.numel() < LARGE:
        return lambda x: F.linear(x, weight, bias)
    even = N - N % parts
    cut, rest = weight[:even].view(parts, -1, K), weight[even:]  # (P, N/P, K), and the rows that are left over

    def multiply(x: Tensor) -> Tensor:  # (B, K)
        if len(x) > FEW_ROWS:
            return F.linear(x, weight, bias)
        y = torch.bmm(cut, x.mT.expand(parts, -1, -1)).flatten(0, 1).mT.contiguous()  # (B, N)
        if even < N:
            y = torch.cat((y, F.linear(x, rest)), 1)
        return y if bias is None else y + bias

    return multiply


def _convolve(
    convolution: ShortConvolution | None,
) -> Callable[[Tensor, DecodeMetadata | AttentionMetadata, LayerCache], Tensor]:
    """The convolution of one token of each row, or of several tokens of one row: (B, W) to (B, W)."""
    if convolution is None:
        return lambda x, metadata, cache: x
    weight, site = convolution.weight, convolution.site

    def convolve(x: Tensor, metadata: DecodeMetadata | AttentionMetadata, cache: LayerCache) -> Tensor:
        if isinstance(metadata, AttentionMetadata):
            return convolution(x[None], metadata, cache)[0]
        seen = cache.extend(2 + site, x[:, None], _slots(x, metadata), metadata.stop)
        return x + (seen * weight).sum(1)

    return convolve


def _slots(x: Tensor, metadata: DecodeMetadata) -> Tensor:
    """Where a cache stores one token of each row: (B, 1), or (1,), its value unused, where all rows are even."""
    return x.new_empty(1) if metadata.positions is None else metadata.positions[:, None]


def _first_values(block: Block, product: Product) -> Callable[[Tensor], Tensor | None]:
    """What maps the embeddings (B, D) to the first layer's values (B, K, d), where later layers mix them in."""
    attention = block.attention
    if attention.mix is None:
        return lambda x: None
    size, bias, norm = attention.kv_heads * attention.head_dim, attention.qkv.bias, _norm(block.norm1)
    values = product(attention.qkv.weight[-size:], None if bias is None else bias[-size:])
    return lambda x: values(norm(x) if block.pre_norm else x).view(len(x), -1, attention.head_dim)


def _norm(norm: LayerNorm | RMSNorm) -> Map:
    if isinstance(norm, RMSNorm):
        return norm.forward
    weight, bias, eps = norm.weight, norm.bias, norm.eps
    return lambda x: torch.layer_norm(x, weight.shape, weight, bias, eps, False)


def _gelu(h: Tensor) -> Tensor:
    """Exact GELU, h (1 + erf(h / sqrt 2)) / 2: for few values torch's own takes three times as long to begin."""
    return (h * 0.5**0.5).erf_().add_(1).mul_(h).mul_(0.5)
