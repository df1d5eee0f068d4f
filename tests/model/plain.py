"""A second implementation of the model: formula by formula, token by token, in float64, sharing no code with ours."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from torch import Tensor

from talewright.config import ModelConfig
from talewright.model.gpt import GPT

Vector = np.ndarray


def plain_logits(model: GPT, tokens: Tensor) -> np.ndarray:
    """Logits (B, T, V) of our model's weights, by the plain program."""
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    return np.stack([_row(model.config, w, row.tolist()) for row in tokens])


def _row(c: ModelConfig, w: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    stream = [_embed(c, w, token, position) for position, token in enumerate(tokens)]
    if c.bigrams:
        factor, ids = round(0.6180339887498949 * c.bigrams), [0, *(token + 1 for token in tokens)]
        pairs = [before * factor + token for before, token in pairwise(ids)]
        stream = [x + w["bigrams.weight"][pair % c.bigrams] for x, pair in zip(stream, pairs, strict=True)]
    seen = [_norm(c, w, "blocks.0.norm1", x) for x in stream] if c.norm_placement == "pre" else stream
    first = [_values(c, w, 0, x) for x in seen]
    for layer in range(c.n_layers):
        name = f"blocks.{layer}"
        if c.norm_placement == "pre":
            normed = [_norm(c, w, f"{name}.norm1", x) for x in stream]
            seen = _attend(c, w, layer, _convolved(c, w, f"{name}.convolution1", normed), first)
            stream = [x + y for x, y in zip(stream, seen, strict=True)]
            normed = [_norm(c, w, f"{name}.norm2", x) for x in stream]
            added = _feed_forward(c, w, f"{name}.mlp", _convolved(c, w, f"{name}.convolution2", normed))
            stream = [x + y for x, y in zip(stream, added, strict=True)]
        else:
            seen = _attend(c, w, layer, _convolved(c, w, f"{name}.convolution1", stream), first)
            stream = [_norm(c, w, f"{name}.norm1", x + y) for x, y in zip(stream, seen, strict=True)]
            added = _feed_forward(c, w, f"{name}.mlp", _convolved(c, w, f"{name}.convolution2", stream))
            stream = [_norm(c, w, f"{name}.norm2", x + y) for x, y in zip(stream, added, strict=True)]
    output = w["embedding.weight"] if c.tied else w["head.weight"]
    return np.stack([output @ _norm(c, w, "norm", x) for x in stream])


def _embed(c: ModelConfig, w: dict[str, np.ndarray], token: int, position: int) -> Vector:
    x = w["embedding.weight"][token] * (math.sqrt(c.d_model) if c.embedding_scaled else 1)
    if c.positions == "learned":
        return x + w["positions.weight"][position]
    if c.positions == "sinusoidal":
        even = [math.sin(position / 10000 ** (i / c.d_model)) for i in range(0, c.d_model, 2)]
        odd = [math.cos(position / 10000 ** (i / c.d_model)) for i in range(0, c.d_model, 2)]
        return x + np.array([value for pair in zip(even, odd, strict=True) for value in pair])
    return x


def _values(c: ModelConfig, w: dict[str, np.ndarray], layer: int, x: Vector) -> np.ndarray:
    """The heads' values (K, d): the last rows of the projection."""
    kv_heads = c.n_heads if c.n_kv_heads is None else c.n_kv_heads
    return _linear(w, f"blocks.{layer}.attention.qkv", x).reshape(-1, c.d_model // c.n_heads)[-kv_heads:]


def _attend(
    c: ModelConfig, w: dict[str, np.ndarray], layer: int, xs: list[Vector], first_values: list[np.ndarray]
) -> list[Vector]:
    name, d = f"blocks.{layer}.attention", c.d_model // c.n_heads
    kv_heads = c.n_heads if c.n_kv_heads is None else c.n_kv_heads
    local = c.attention[layer % len(c.attention)] == "local"
    projected = [_linear(w, f"{name}.qkv", x).reshape(-1, d) for x in xs]  # heads of queries, of keys, of values
    queries = [[_prepare(c, w, f"{name}.q_norm", p[h], t) for h in range(c.n_heads)] for t, p in enumerate(projected)]
    keys = [
        [_prepare(c, w, f"{name}.k_norm", p[c.n_heads + h], t) for h in range(kv_heads)]
        for t, p in enumerate(projected)
    ]
    all_values = [_values(c, w, layer, x) for x in xs]
    if c.value_residual:
        own, other = w[f"{name}.mix"]
        all_values = [own * v + other * v1 for v, v1 in zip(all_values, first_values, strict=True)]
    answers = []
    for t in range(len(xs)):
        first = max(0, t - c.window + 1) if local else 0
        heads = []
        for h in range(c.n_heads):
            shared = h // (c.n_heads // kv_heads)
            scores = np.array([queries[t][h] @ keys[s][shared] for s in range(first, t + 1)])
            scores = np.exp(scores / (math.sqrt(d) if c.attention_scaled else 1))
            values = [all_values[s][shared] for s in range(first, t + 1)]
            heads.append(sum(a * v for a, v in zip(scores / scores.sum(), values, strict=True)))
        answers.append(_linear(w, f"{name}.out", np.concatenate(heads)))
    return answers


def _prepare(c: ModelConfig, w: dict[str, np.ndarray], norm: str, x: Vector, position: int) -> Vector:
    """A query or key: normalized where the recipe says so, and turned, pair by pair, where positions are rotary."""
    if c.qk_norm:
        x = x / math.sqrt((x * x).mean() + c.norm_eps) * w[f"{norm}.weight"]
    if c.positions != "rotary":
        return x
    half = len(x) // 2
    turned = np.empty_like(x)
    for i in range(half):
        angle = position * c.rotary_base ** (-2 * i / len(x))
        turned[i] = x[i] * math.cos(angle) - x[half + i] * math.sin(angle)
        turned[half + i] = x[i] * math.sin(angle) + x[half + i] * math.cos(angle)
    return turned


def _convolved(c: ModelConfig, w: dict[str, np.ndarray], name: str, xs: list[Vector]) -> list[Vector]:
    """Each position plus what the last weight keeps of it, and the ones before of the three positions before."""
    if not c.short_convolution:
        return xs
    weight = w[f"{name}.weight"]
    return [
        x + sum(weight[3 - back] * xs[t - back] for back in range(4) if back <= t)  # weight[3] is that of x itself
        for t, x in enumerate(xs)
    ]


def _feed_forward(c: ModelConfig, w: dict[str, np.ndarray], name: str, xs: list[Vector]) -> list[Vector]:
    hidden = _convolved(c, w, f"{name}.convolution", [_linear(w, f"{name}.up", x) for x in xs])
    return [_linear(w, f"{name}.down", _activated(c, h)) for h in hidden]


def _activated(c: ModelConfig, h: Vector) -> Vector:
    if c.activation == "swiglu":
        gate, value = h[: c.d_ff], h[c.d_ff :]
        return gate / (1 + np.exp(-gate)) * value
    if c.activation == "relu2":
        return np.where(h > 0, h * h, 0)
    if c.activation == "gelu":
        return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in h])
    return np.array([0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in h])


def _norm(c: ModelConfig, w: dict[str, np.ndarray], name: str, x: Vector) -> Vector:
    if c.norm == "rmsnorm":
        return x / math.sqrt((x * x).mean() + c.norm_eps) * w[f"{name}.weight"]
    centered = x - x.mean()
    return centered / math.sqrt((centered * centered).mean() + c.norm_eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


def _linear(w: dict[str, np.ndarray], name: str, x: Vector) -> Vector:
    return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0.0)
