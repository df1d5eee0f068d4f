"""The whole model on one screen: attention, feed-forward, block, GPT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.model.attention import blocked_attention, fused_attention
from talewright.model.bigrams import BigramEmbedding
from talewright.model.convolution import ShortConvolution, make_convolution
from talewright.model.dropout import dropout
from talewright.model.kv_cache import KVCache, LayerCache
from talewright.model.masks import AttentionMetadata, attention_metadata
from talewright.model.norm import RMSNorm, make_norm
from talewright.model.positions import rotate, rotations, sinusoids


class Attention(nn.Module):
    """Multi-head causal self-attention (Vaswani et al. 2017, arXiv:1706.03762), global or over a local window.

    With grouped-query heads (Ainslie et al. 2023, arXiv:2305.13245), normalized queries and keys, and values mixed with
    those of the first layer (Zhou et al. 2024, arXiv:2410.17897), if the recipe says so.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.n_heads, self.kv_heads, self.head_dim = config.n_heads, config.kv_heads, config.head_dim
        self.window = config.layer_window(layer)
        self.scale = self.head_dim**-0.5 if config.attention_scaled else 1.0
        self.dropout = config.dropout if "attention" in config.dropout_sites else 0.0
        heads = self.n_heads + 2 * self.kv_heads  # queries, keys and values in one matrix product
        self.qkv = nn.Linear(config.d_model, heads * self.head_dim, bias="qkv" in config.bias)
        self.out = nn.Linear(config.d_model, config.d_model, bias="out" in config.bias)
        self.q_norm = RMSNorm(self.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.mix = nn.Parameter(torch.full((2,), 0.5)) if config.value_residual else None

    def forward(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:  # (B, T, D)
        q, k, v = self.project(x, metadata)
        if cache is not None:
            k, v = cache.append(k, v, metadata.positions, metadata.stop)
        z = self.attend(q, k, v, metadata)  # (B, H, T, d)
        return self.out(z.transpose(1, 2).flatten(2))

    def project(self, x: Tensor, metadata: AttentionMetadata) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, d), keys and values (B, K, T, d)."""
        heads = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H + 2K, T, d)
        q, k, v = heads.split((self.n_heads, self.kv_heads, self.kv_heads), 1)
        q, k = self.q_norm(q), self.k_norm(k)
        if metadata.rotation is not None:
            q, k = rotate(q, metadata.rotation), rotate(k, metadata.rotation)
        if self.mix is not None:
            v = self.mix[0] * v + self.mix[1] * cast(Tensor, metadata.first_values)
        return q, k, v

    def values(self, x: Tensor) -> Tensor:
        """The values (B, K, T, d) alone, not mixed."""
        size = self.kv_heads * self.head_dim
        bias = None if self.qkv.bias is None else self.qkv.bias[-size:]
        return F.linear(x, self.qkv.weight[-size:], bias).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, metadata: AttentionMetadata) -> Tensor:
        """softmax(scale * q k^T) v: (B, H, T, d)."""
        rate = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and metadata.own_keys:
            return blocked_attention(q, k, v, self.window, self.scale, rate)
        mask = metadata.masks[self.window]
        return fused_attention(q, k, v, mask, mask is None and metadata.causal, self.scale, rate)


class MLP(nn.Module):
    """The feed-forward layer: every position by itself, D -> d_ff -> D.

    GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415) by its tanh formula or exact, ReLU squared (So et al. 2021,
    arXiv:2109.08668), or SwiGLU (Shazeer 2020, arXiv:2002.05202), whose `up` holds the gate's rows before the values'.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.dropout = config.dropout if "mlp" in config.dropout_sites else 0.0
        width = 2 * config.d_ff if self.activation == "swiglu" else config.d_ff
        self.up = nn.Linear(config.d_model, width, bias="mlp" in config.bias)
        self.convolution = make_convolution(config, width, site=2)
        self.down = nn.Linear(config.d_ff, config.d_model, bias="mlp" in config.bias)

    def forward(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:  # (B, T, D)
        h = self.activate(convolved(self.convolution, self.up(x), metadata, cache))  # (B, T, d_ff)
        return self.down(dropout(h, self.dropout, self.training))

    def activate(self, h: Tensor) -> Tensor:
        if self.activation == "swiglu":
            gate, value = h.chunk(2, -1)
            return F.silu(gate) * value
        if self.activation == "relu2":
            return F.relu(h).square()
        if self.activation == "gelu_tanh" and torch.compiler.is_compiling():
            return h * F.sigmoid((8 / math.pi) ** 0.5 * (h + 0.044715 * h**3))  # the same; compiled, tanh is slower
        return F.gelu(h, approximate="tanh" if self.activation == "gelu_tanh" else "none")


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream (B, T, D), with a norm before or after."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.norm1, self.attention = make_norm(config), Attention(config, layer)
        self.norm2, self.mlp = make_norm(config), MLP(config)
        self.convolution1, self.convolution2 = (make_convolution(config, config.d_model, site) for site in (0, 1))
        self.pre_norm = config.norm_placement == "pre"
        self.dropout = config.dropout if "residual" in config.dropout_sites else 0.0

    def forward(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:
        return self.feed_forward(self.attend(x, metadata, cache), metadata, cache)

    def attend(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:
        added = self.drop(self.attention(self.attention_input(x, metadata, cache), metadata, cache))
        return x + added if self.pre_norm else self.norm1(x + added)

    def attention_input(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:
        return convolved(self.convolution1, self.norm1(x) if self.pre_norm else x, metadata, cache)

    def feed_forward(self, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None = None) -> Tensor:
        h = convolved(self.convolution2, self.norm2(x) if self.pre_norm else x, metadata, cache)
        added = self.drop(self.mlp(h, metadata, cache))
        return x + added if self.pre_norm else self.norm2(x + added)

    def values(self, x: Tensor) -> Tensor:
        """The values (B, K, T, d) of attention, before they are mixed with the first layer's."""
        return self.attention.values(self.norm1(x) if self.pre_norm else x)

    def drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def convolved(
    convolution: ShortConvolution | None, x: Tensor, metadata: AttentionMetadata, cache: LayerCache | None
) -> Tensor:
    """x (B, T, W) after a convolution, or as it is."""
    return x if convolution is None else convolution(x, metadata, cache)


class GPT(nn.Module):
    """A decoder-only transformer (Radford et al. 2019), in the shapes that `ModelConfig` describes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.bigrams = BigramEmbedding(config) if config.bigrams else None
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.context_length, config.d_model) if learned else None
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.n_layers)])
        self.norm = make_norm(config)
        self.head = None if config.tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.table: Tensor
        self.register_buffer("table", position_table(config), persistent=False)  # computed, so never saved
        self.windows = {config.layer_window(layer) for layer in range(config.n_layers)}
        self.init_weights()

    def forward(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each of `tokens` (B, T). With a cache, they follow those it holds."""
        return self.logits(self.hidden(tokens, cache))

    def hidden(
        self,
        tokens: Tensor,
        cache: KVCache | None = None,
        metadata: AttentionMetadata | None = None,
        run: Callable[..., Tensor] = Block.__call__,
    ) -> Tensor:
        """What the output layer reads, (B, T, D). `metadata` is that of `tokens` and the cache unless given; `run` runs
        a block: training may compile it.
        """
        x, metadata = self.first_input(tokens, metadata or self.metadata(tokens, cache), cache)
        for i, block in enumerate(self.blocks):
            x = run(block, x, metadata, cache.layers[i] if cache else None)
        if cache is not None:
            cache.advance(tokens.shape[1])
        return self.norm(x)

    def first_input(
        self, tokens: Tensor, metadata: AttentionMetadata, cache: KVCache | None = None
    ) -> tuple[Tensor, AttentionMetadata]:
        """What the first block reads, (B, T, D), and the metadata for all blocks."""
        x = self.embed(tokens, metadata, cache)
        if self.config.value_residual:
            metadata = metadata._replace(first_values=cast(Block, self.blocks[0]).values(x))
        return x, metadata

    def logits(self, hidden: Tensor) -> Tensor:
        """The output layer: (..., D) to (..., V)."""
        return F.linear(hidden, self.output_weight)

    def metadata(
        self,
        tokens: Tensor,
        cache: KVCache | None = None,
        padding_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> AttentionMetadata:
        """Positions and masks as in `attention_metadata`, with the rotary angles where the model has them."""
        metadata = attention_metadata(self.windows, tokens, cache, padding_mask, positions)
        if self.config.positions != "rotary":
            return metadata
        rotation = self.table[:, metadata.positions]  # (2, T, d), or (2, B, T, d)
        return metadata._replace(rotation=rotation if rotation.dim() == 3 else rotation[:, :, None])

    def embed(self, tokens: Tensor, metadata: AttentionMetadata, cache: KVCache | None = None) -> Tensor:
        """The residual stream as the first block reads it: (B, T, D)."""
        x = self.embedding(tokens)
        if self.config.embedding_scaled:
            x = x * self.config.d_model**0.5
        if self.bigrams is not None:
            x = x + self.bigrams(tokens, metadata, cache.layers[-1] if cache else None)
        if self.positions is not None:
            x = x + self.positions(metadata.positions)
        elif self.config.positions == "sinusoidal":
            x = x + self.table[metadata.positions]
        return dropout(x, self.config.dropout, self.training and "embedding" in self.config.dropout_sites)

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the output layer's weights, which are the embedding's where the two are tied."""
        return self.embedding.weight if self.head is None else self.head.weight

    def init_weights(self) -> None:
        """N(0, 0.02), and residual projections smaller by sqrt(2L), as GPT-2: the first loss is then close to ln V."""
        std = self.config.init_std
        residual_std = std / (2 * self.config.n_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if name == "bigrams.weight":
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                nn.init.normal_(parameter, 0.0, residual_std if residual else std)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)


def position_table(config: ModelConfig) -> Tensor | None:
    """The values that positions need but training does not change: sinusoids or rotary angles."""
    if config.positions == "sinusoidal":
        return sinusoids(config.context_length, config.d_model)
    if config.positions == "rotary":
        return rotations(config.context_length, config.head_dim, config.rotary_base)
    return None
