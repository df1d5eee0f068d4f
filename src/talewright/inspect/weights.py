"""Statistics of a model's weight matrices, and how far training moved them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from talewright.model.gpt import GPT, Block

BINS = 61


@dataclass(frozen=True, kw_only=True)
class MatrixStats:
    """Statistics of one weight matrix."""

    name: str
    """`layer 2 queries`; outside the layers, `embedding`, `positions`, `head`."""
    layer: int | None
    kind: str
    """queries, keys, values, output, up, gate, down, embedding, positions, head."""
    shape: tuple[int, int]
    mean: float
    std: float
    singular_values: np.ndarray
    """Largest first, float64."""
    counts: np.ndarray
    """Histogram of the values: (BINS,)."""
    edges: np.ndarray
    """Of its bins, symmetric about 0: (BINS + 1,)."""

    @property
    def spectral_norm(self) -> float:
        """The largest singular value: the most by which the matrix can lengthen a vector."""
        return float(self.singular_values[0])

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the normalized singular values (Roy & Vetterli 2007, EUSIPCO): the number of directions
        that the matrix effectively uses.
        """
        shares = self.singular_values[self.singular_values > 0]
        shares = shares / shares.sum()
        return float(np.exp(-(shares * np.log(shares)).sum()))


def matrices(model: GPT) -> Iterator[tuple[str, int | None, str, Tensor]]:
    """Name, layer, kind and values of every matrix, but for convolutions and bigrams, which begin at 0. Fused ones are
    split: queries, keys and values, and SwiGLU's gate and up projection.
    """
    config, d = model.config, model.config.head_dim
    yield "embedding", None, "embedding", model.embedding.weight.detach()
    if model.positions is not None:
        yield "positions", None, "positions", model.positions.weight.detach()
    for layer, block in enumerate(cast(list[Block], model.blocks)):
        sizes = [config.n_heads * d, config.kv_heads * d, config.kv_heads * d]
        queries, keys, values = block.attention.qkv.weight.detach().split(sizes)
        kinds = {"queries": queries, "keys": keys, "values": values, "output": block.attention.out.weight.detach()}
        up = block.mlp.up.weight.detach()
        kinds |= {"gate": up[: config.d_ff], "up": up[config.d_ff :]} if config.activation == "swiglu" else {"up": up}
        kinds["down"] = block.mlp.down.weight.detach()
        for kind, matrix in kinds.items():
            yield f"layer {layer} {kind}", layer, kind, matrix
    if model.head is not None:
        yield "head", None, "head", model.head.weight.detach()


def measure_matrices(model: GPT) -> list[MatrixStats]:
    """Statistics of every matrix of the model."""
    stats = []
    for name, layer, kind, matrix in matrices(model):
        values = matrix.float().cpu()
        largest = float(values.abs().max()) or 1.0
        stats.append(
            MatrixStats(
                name=name,
                layer=layer,
                kind=kind,
                shape=(values.shape[0], values.shape[1]),
                mean=float(values.mean()),
                std=float(values.std(correction=0)),
                singular_values=singular_values(values),
                counts=torch.histc(values, BINS, -largest, largest).numpy().astype(np.int64),
                edges=np.linspace(-largest, largest, BINS + 1),
            )
        )
    return stats


def singular_values(matrix: Tensor) -> np.ndarray:
    """The singular values of a matrix (R, C), largest first, float64: (min(R, C),).

    They are the square roots of the eigenvalues of the smaller of A A^T and A^T A, which is many times faster than a
    decomposition of A if one side is long. In float64, values down to 1e-7 of the largest are accurate.
    """
    a = matrix.cpu().double()
    gram = a @ a.mT if a.shape[0] < a.shape[1] else a.mT @ a
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0).numpy()


def relative_change(model: GPT, initial: GPT) -> dict[str, float]:
    """How far each matrix is from its value in `initial`, a model of the same shape, relative to its norm there
    (Frobenius norms).
    """
    before = {name: values for name, _, _, values in matrices(initial)}
    return {
        name: float((values.cpu() - before[name].cpu()).norm() / before[name].norm().cpu().clamp(min=1e-12))
        for name, _, _, values in matrices(model)
    }
