"""Computes from model.bin what run.c of llama2.c computes, in numpy, with the ids renumbered as in `ids.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np


def reader(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Reader of an export's folder, or of any model.bin, which may have no `ids.json` next to it."""
    file = Path(path) / "model.bin" if Path(path).is_dir() else Path(path)
    model, numbers = RunCModel(np.fromfile(file, "<f4")), file.with_name("ids.json")
    stored = json.loads(numbers.read_text(encoding="utf-8")) if numbers.is_file() else range(len(model.embedding))
    ids = np.array(stored)
    return lambda story: model.logits(ids[story])[:, ids]


class RunCModel:
    """The Llama in the file, whose contents are given as float32, of which the first seven are int32."""

    def __init__(self, data: np.ndarray) -> None:
        dim, hidden, layers, heads, kv_heads, vocab, context = map(int, data[:7].view("<i4"))
        self.heads, self.kv_heads, self.layers, self.head_dim = heads, kv_heads, layers, dim // heads
        rest, kv = data[7:], kv_heads * self.head_dim

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
        take(context, self.head_dim)  # the table of rotations, which run.c skips
        self.output = self.embedding if vocab > 0 else take(-vocab, dim)
        if len(rest):
            raise ValueError(f"model.bin has {len(rest)} numbers too many")

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """(T, V) of ids (T,)."""
        x = self.embedding[ids]
        for i in range(self.layers):
            h = rms_norm(x, self.attention_norm[i])
            x = x + self.attention(h @ self.wq[i].T, h @ self.wk[i].T, h @ self.wv[i].T) @ self.wo[i].T
            h = rms_norm(x, self.ffn_norm[i])
            gate = h @ self.w1[i].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ self.w3[i].T)) @ self.w2[i].T
        return rms_norm(x, self.norm) @ self.output.T

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        T = len(q)
        q = rotate(q.reshape(T, self.heads, self.head_dim)).transpose(1, 0, 2)
        k = rotate(k.reshape(T, self.kv_heads, self.head_dim)).transpose(1, 0, 2)
        v = v.reshape(T, self.kv_heads, self.head_dim).transpose(1, 0, 2)
        groups = self.heads // self.kv_heads
        scores = q @ k.repeat(groups, 0).transpose(0, 2, 1) / np.sqrt(self.head_dim)  # (H, T, T)
        scores = np.where(np.tri(T, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return (weights @ v.repeat(groups, 0)).transpose(1, 0, 2).reshape(T, -1)


def rms_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weight * (x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5)))


def rotate(x: np.ndarray) -> np.ndarray:
    """Rotate neighbors (0 with 1, 2 with 3) of each head's vector, x (T, H, d), by the token's position."""
    T, _, d = x.shape
    angles = np.arange(T)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    z = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]  # (T, H, d / 2)
    return np.stack((z.real, z.imag), -1).reshape(x.shape).astype(np.float32)
