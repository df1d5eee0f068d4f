"""What a model costs, counted from its configuration alone: parameters by component, FLOPs per token, bytes.

Imports nothing heavy, so that `talewright recipes` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from talewright.config import ModelConfig
from talewright.config.model import REACH

BLOCK = 128
"""Queries in a block of `attention.blocked_attention`."""


@dataclass(frozen=True)
class Parameters:
    """Trained values by component. Tied weights count once, under `embeddings`."""

    embeddings: int
    bigrams: int
    blocks: int
    output: int
    """The last norm and, where it is not tied, the output layer."""

    @property
    def total(self) -> int:
        return self.dense + self.bigrams

    @property
    def dense(self) -> int:
        """All but the bigrams, of which a token reads one row."""
        return self.embeddings + self.blocks + self.output


def count_parameters(config: ModelConfig) -> Parameters:
    """The number of parameters of the model that `GPT(config)` would build."""
    D, V = config.d_model, config.vocab_size
    norm = 2 * D if config.norm == "layernorm" else D
    embeddings = V * D + (config.context_length * D if config.positions == "learned" else 0)
    block = sum(projection_sizes(config)) + 2 * norm
    block += (REACH + 1) * sum(config.convolution_widths)
    block += (2 * config.head_dim if config.qk_norm else 0) + (2 if config.value_residual else 0) + _biases(config)
    output = norm + (0 if config.tied else V * D)
    return Parameters(embeddings, config.bigrams * D, config.n_layers * block, output)


def forward_flops(config: ModelConfig, T: int | None = None) -> float:
    """Floating-point operations of one token's forward pass, on average over a sequence of T (the context length).

    Two for each weight of a matrix product, the output layer's included, and of attention only what the mask leaves:
    the fair count, lower than the usual one that takes every token to see all others.
    """
    T = T or config.context_length
    flops = 2.0 * config.d_model * config.vocab_size
    if config.value_residual:  # the first layer's values are computed once more
        flops += 2 * config.d_model * config.kv_heads * config.head_dim
    for layer in range(config.n_layers):
        window = min(config.layer_window(layer) or T, T)
        seen = (window * (window + 1) / 2 + (T - window) * window) / T  # keys that a token sees, on average
        flops += 2 * sum(projection_sizes(config)) + 4 * seen * config.n_heads * config.head_dim
    return flops


def training_flops(config: ModelConfig, T: int | None = None) -> float:
    """Floating-point operations to train on one token: the backward pass costs two forward ones."""
    return 3 * forward_flops(config, T)


def activation_bytes(config: ModelConfig, T: int, e: int, block: int | None = BLOCK) -> float:
    """Bytes per token that the backward pass reads again before the loss, in sequences of T; e is the size of a
    product's values.

    The residual stream and what norms keep are float32. `block`: queries in a block of attention; None for a fused
    kernel, which keeps of the scores only one float32 for each query and head, their log-sum-exp.
    """
    D, H, F = config.d_model, config.n_heads, config.d_ff
    drops = {site: config.dropout > 0 and site in config.dropout_sites for site in ("attention", "residual", "mlp")}
    norms = 4 * D + 8 if config.norm == "layernorm" else 8 * D + 4  # with mean and deviation, or the root alone
    ids = 16.0 if config.bigrams else 8.0
    total = ids + 4 * D * (config.dropout > 0 and "embedding" in config.dropout_sites) + norms
    if config.value_residual:
        copied = e * D if e < 4 else 0  # the product's input, where it is not the stream itself
        normalized = copied if config.norm_placement == "post" else e * D + (4 * D if config.norm == "rmsnorm" else 0)
        total += e * config.kv_heads * config.head_dim + normalized
    for layer in range(config.n_layers):
        attention = 5 * e * D + 4 * H
        if block is not None:
            squares = H * _keys_held(T, config.layer_window(layer), block)
            attention = 5 * e * D + e * squares * (3 if drops["attention"] else 1)
        if config.qk_norm:
            attention += (8 * config.head_dim + 4) * (H + config.kv_heads)
            attention += 4 * config.kv_heads * config.head_dim if e == 4 else 0
        if config.value_residual and not (config.qk_norm and e == 4):  # the product, which its parts else replace
            attention += e * (H + 2 * config.kv_heads) * config.head_dim
        if config.short_convolution:  # their inputs, with the positions before; norms and posts give float32
            attention += (1 + REACH / T) * (8 * D + e * config.convolution_widths[2])
        width = {"swiglu": 4}.get(config.activation, 2) + drops["mlp"]
        total += 2 * norms + attention + e * D + e * F * width + 2 * e * D * drops["residual"]
    return total


def _keys_held(T: int, window: int | None, block: int) -> float:
    """Scores a token and head that attention in blocks keeps, on average."""
    blocks = [(start, min(start + block, T)) for start in range(0, T, block)]
    firsts = [0 if window is None else max(0, start - window + 1) for start, _ in blocks]
    return sum((stop - start) * (stop - first) for (start, stop), first in zip(blocks, firsts, strict=True)) / T


def projection_sizes(config: ModelConfig) -> tuple[int, int, int, int]:
    """Weights of a block's matrices: queries, keys and values; attention output; up; down."""
    D, d = config.d_model, config.head_dim
    up = config.d_ff * (2 if config.activation == "swiglu" else 1)
    return D * d * (config.n_heads + 2 * config.kv_heads), D * D, D * up, config.d_ff * D


def _biases(config: ModelConfig) -> int:
    sizes = {
        "qkv": config.head_dim * (config.n_heads + 2 * config.kv_heads),
        "out": config.d_model,
        "mlp": config.d_ff * (2 if config.activation == "swiglu" else 1) + config.d_model,
    }
    return sum(sizes[name] for name in set(config.bias))
