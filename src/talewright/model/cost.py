"""What a model costs, counted from its recipe alone: parameters by component, FLOPs a token, bytes.

Imports nothing heavy, so that `talewright recipes` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from talewright.config import ModelConfig, Recipe

SLICE = 1 << 25
"""Logits that the loss holds at once: its own constant, repeated because importing it would import torch."""
SCORED, SCORED_LOGITS, SCORED_ROWS = 8192, 1 << 22, 512
"""Tokens that an evaluation reads at once, logits that it holds, and rows of them at least, likewise."""
HOLES, PASSING, AMONG_GRADIENTS = 1.2, 0.5, 0.5
"""What a heap holds for each byte of activations, measured: holes between them, and what a layer makes on its way back;
more where rotary positions make many passing tensors (before its version 2.38, glibc hardly ever gives a hole's room to
an aligned block of the same size), and where gradients of earlier micro-batches stand in between."""
HEAP_PAD = 1 << 26
"""Bytes that a heap which keeps its memory takes beyond its need; see `machine.keep_heap`."""

LOG_BYTES = 250
"""Bytes of a step's line in the log, with its share of evaluations and sample stories."""


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


def state_bytes(recipe: Recipe) -> int:
    """Bytes of the weights, their average where there is one, and the optimiser's means, all float32: AdamW has two of
    each weight, Muon one.
    """
    config = recipe.model
    moved = config.n_layers * sum(_projections(config)) if recipe.optimizer.kind == "muon" else 0
    return 4 * ((4 if recipe.train.average else 3) * count_parameters(config).total - moved)


def run_bytes(recipe: Recipe) -> int:
    """Most bytes that a run folder will take of a disk: the checkpoints that are kept, the best and the one that is
    being written, the log, where the number of steps is set, and half a megabyte for what is small.
    """
    train, saves = recipe.train, recipe.train.keep + 2
    steps = train.max_steps or 0
    if steps:
        saves = min(saves, steps // train.checkpoint_every + steps // train.evaluate_every + 1)
    return saves * state_bytes(recipe) + LOG_BYTES * steps + 2**19


def training_bytes(recipe: Recipe, precision: str, teacher: ModelConfig | None = None) -> int:
    """Most bytes of memory that a process needs to train the recipe, beyond the program itself.

    Weights and the optimiser's means are there all the time, in float32. To these comes the largest of what there
    is when the loss of a micro-batch has been taken (all that the backward pass will read, the loss's own slices, and
    the sum of gradients where several micro-batches make one), when an update is made (all gradients), and when stories
    are scored. Counted for a processor; a GPU's fused attention keeps less. A teacher, of that shape, adds its weights
    and what it makes of a micro-batch.
    """
    config, train = recipe.model, recipe.train
    P, V, D = count_parameters(config).total, config.vocab_size, config.d_model
    e = 4 if precision == "fp32" else 2
    rows = train.micro_batch * recipe.sequence_length
    loss = 3 * e * min(rows, SLICE // V) * V + (4 + 2 * e) * V * D + 2 * e * rows * D
    holes = HOLES + PASSING * (config.positions == "rotary") + AMONG_GRADIENTS * (train.accumulation > 1)
    kept = holes * rows * activation_bytes(config, recipe.sequence_length, e) + (e * P if e < 4 else 0)
    gradients = 4 * P if train.accumulation > 1 else 0
    scoring = SCORED * ((16 + 6 * e) * D + 3 * e * config.d_ff) + 24 * max(SCORED_LOGITS, SCORED_ROWS * V)
    held, before = state_bytes(recipe), 0.0
    if teacher is not None:  # it reads first, and of that only what its output layer reads is kept
        E, slices = teacher.d_model, 3 * e * min(rows, SLICE // V) * V
        held += 4 * count_parameters(teacher).total
        before = rows * ((16 + 6 * e) * E + 3 * e * teacher.d_ff)
        loss += slices + e * V * E + 4 * rows * E
    return round(held + max(kept + loss + gradients, before + gradients, 4 * P + 8 * V * D, scoring) + HEAP_PAD)


def activation_bytes(config: ModelConfig, T: int, e: int) -> float:
    """Bytes a token that the backward pass reads again before the loss, in sequences of T; e is the size of a product's
    values.

    The residual stream and what norms keep are float32.
    """
    D, H, F = config.d_model, config.n_heads, config.d_ff
    drops = {site: config.dropout > 0 and site in config.dropout_sites for site in ("attention", "residual", "mlp")}
    norms = 4 * D + 8 if config.norm == "layernorm" else 8 * D + 4  # with mean and deviation, or the root alone
    total = 8.0 + 4 * D * (config.dropout > 0 and "embedding" in config.dropout_sites) + norms
    for layer in range(config.n_layers):
        squares = H * _keys_held(T, config.layer_window(layer))
        attention = 5 * e * D + e * squares * (3 if drops["attention"] else 1)
        if config.qk_norm:
            attention += 8 * config.head_dim * (H + config.kv_heads) + (4 * D if e == 4 else 0)
        width = {"swiglu": 4}.get(config.activation, 2) + drops["mlp"]
        total += 2 * norms + attention + e * D + e * F * width + 2 * e * D * drops["residual"]
    return total


def _keys_held(T: int, window: int | None, block: int = 128) -> float:
    """Scores a token and head that attention in blocks keeps, on average."""
    blocks = [(start, min(start + block, T)) for start in range(0, T, block)]
    firsts = [0 if window is None else max(0, start - window + 1) for start, _ in blocks]
    return sum((stop - start) * (stop - first) for (start, stop), first in zip(blocks, firsts, strict=True)) / T


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
