"""Computes from model.bin what llama2.c's run.c computes, in numpy, with the ids numbered as `ids.json` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np


def reader(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    """Of an export's folder, or of any file of that format, which may have no `ids.json` beside it."""
    file = Path(folder) / "model.bin" if Path(folder).is_dir() else Path(folder)
    model, numbers = Model(np.fromfile(file, "<f4")), file.with_name("ids.json")
    ids = np.array(json.loads(numbers.read_text())) if numbers.is_file() else np.arange(len(model.embedding))
    return lambda story: model.logits(ids[story])[:, ids]


class Model:
    """The Llama in the file, whose words (float32, the first seven of them int32) are given."""

    def __init__(self, words: np.ndarray) -> None:
        dim, hidden, layers, heads, kv_heads, vocab, context = map(int, words[:7].view("<i4"))
        self.heads, self.kv_heads, self.layers, self.size = heads, kv_heads, layers, dim // heads
        rest, kv = words[7:], kv_heads * self.size

        def take(*shape: int) -> np.ndarray:
            nonlocal rest
            taken, rest = rest[: np.prod(shape)], rest[np.prod(shape) :]
            return taken.reshape(shape)

        self.embedding = take(abs(vocab), dim)
        self.attention_norm = take(layers, dim)
        self.wq, self.wk, self.wv = (take(layers, rows, dim) for rows in (dim, kv, kv))
        self.wo, self.ffn_norm = take(layers, dim, dim), take(layers, dim)
        self.w1, self.w2, self.w3 = take(layers, hidden, dim), take(layers, dim, hidden), take(layers, hidden, dim)
        self.norm = take(dim)
        take(context, self.size)  # the table of rotations, which run.c passes over
        self.output = self.embedding if vocab > 0 else take(-vocab, dim)
        if len(rest):
            raise ValueError(f"model.bin holds {len(rest)} numbers too many")

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """(T, V) of ids (T,)."""
        x = self.embedding[ids]
        for i in range(self.layers):
            h = normalised(x, self.attention_norm[i])
            x = x + self.attention(h @ self.wq[i].T, h @ self.wk[i].T, h @ self.wv[i].T) @ self.wo[i].T
            h = normalised(x, self.ffn_norm[i])
            gate = h @ self.w1[i].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ self.w3[i].T)) @ self.w2[i].T
        return normalised(x, self.norm) @ self.output.T

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        T = len(q)
        q = turned(q.reshape(T, self.heads, self.size)).transpose(1, 0, 2)
        k = turned(k.reshape(T, self.kv_heads, self.size)).transpose(1, 0, 2)
        v = v.reshape(T, self.kv_heads, self.size).transpose(1, 0, 2)
        shared = self.heads // self.kv_heads
        scores = q @ k.repeat(shared, 0).transpose(0, 2, 1) / np.sqrt(self.size)  # (H, T, T)
        scores = np.where(np.tri(T, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return (weights @ v.repeat(shared, 0)).transpose(1, 0, 2).reshape(T, -1)


def normalised(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weight * (x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5)))


def turned(x: np.ndarray) -> np.ndarray:
    """Neighbours (0 with 1, 2 with 3) of each head's vector, x (T, H, d), turned by the token's place."""
    T, _, d = x.shape
    angles = np.arange(T)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    turn = np.exp(1j * angles)[:, None]  # (T, 1, d / 2)
    z = (x[..., ::2] + 1j * x[..., 1::2]) * turn
    return np.stack((z.real, z.imag), -1).reshape(x.shape).astype(np.float32)
