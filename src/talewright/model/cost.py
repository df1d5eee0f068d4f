"""What a model costs, counted from its recipe alone: parameters by component, FLOPs a token, bytes.

Imports nothing heavy, so that `talewright recipes` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from talewright.config import ModelConfig


@dataclass(frozen=True)
class Parameters:
    """Trained values by component. Tied weights count once, under `embeddings`."""

    embeddings: int
    blocks: int
    output: int
    """The last norm and, where it is not tied, the output layer."""

    @property
    def total(self) -> int:
        return self.embeddings + self.blocks + self.output


def count_parameters(config: ModelConfig) -> Parameters:
    """The number of parameters of the model that `GPT(config)` would build."""
    D, V = config.d_model, config.vocab_size
    norm = 2 * D if config.norm == "layernorm" else D
    embeddings = V * D + (config.context_length * D if config.positions == "learned" else 0)
    block = sum(_projections(config)) + 2 * norm
    block += (2 * config.head_dim if config.qk_norm else 0) + _biases(config)
    return Parameters(embeddings, config.n_layers * block, norm + (0 if config.tied else V * D))


def forward_flops(config: ModelConfig, T: int | None = None) -> float:
    """Floating-point operations of one token's forward pass, on average over a sequence of T (the context length).

    Two for each weight of a matrix product, the output layer's included, and of attention only what the mask leaves:
    the fair count, lower than the usual one that takes every token to see all others.
    """
    T = T or config.context_length
    flops = 2.0 * config.d_model * config.vocab_size
    for layer in range(config.n_layers):
        window = min(config.layer_window(layer) or T, T)
        seen = (window * (window + 1) / 2 + (T - window) * window) / T  # keys that a token sees, on average
        flops += 2 * sum(_projections(config)) + 4 * seen * config.n_heads * config.head_dim
    return flops


def training_flops(config: ModelConfig, T: int | None = None) -> float:
    """Floating-point operations to train on one token: the backward pass costs two forward ones."""
    return 3 * forward_flops(config, T)


def _projections(config: ModelConfig) -> tuple[int, int, int, int]:
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
