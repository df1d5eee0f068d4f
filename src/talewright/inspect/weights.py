"""A model's matrices: how their values lie, how strongly they can stretch a vector, and how far training moved them."""

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
class Matrix:
    """One matrix of a model, measured."""

    name: str
    """`layer 2 queries`; outside of the layers, `embedding`, `positions`, `head`."""
    layer: int | None
    kind: str
    """What it is: queries, keys, values, output, up, gate, down, embedding, positions, head."""
    shape: tuple[int, int]
    mean: float
    std: float
    singular_values: np.ndarray
    """Largest first, float64."""
    counts: np.ndarray
    """Values in each of the bins, (BINS,)."""
    edges: np.ndarray
    """Between the bins, (BINS + 1,): from the furthest value below 0 to as far above."""

    @property
    def spectral_norm(self) -> float:
        """The largest singular value: how much longer the matrix can make a vector."""
        return float(self.singular_values[0])

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the singular values as shares of their sum (Roy & Vetterli 2007, EUSIPCO): how many
        directions the matrix uses in effect.
        """
        shares = self.singular_values[self.singular_values > 0]
        shares = shares / shares.sum()
        return float(np.exp(-(shares * np.log(shares)).sum()))


def matrices(model: GPT) -> Iterator[tuple[str, int | None, str, Tensor]]:
    """Name, layer, kind and values of every matrix. Queries, keys and values are told apart, and so are SwiGLU's gate
    and values, though the model holds them in one.
    """
    config, d = model.config, model.config.head_dim
    yield "embedding", None, "embedding", model.embedding.weight.detach()
    if model.positions is not None:
        yield "positions", None, "positions", model.positions.weight.detach()
    for layer, block in enumerate(cast(list[Block], model.blocks)):
        sizes = [config.n_heads * d, config.kv_heads * d, config.kv_heads * d]
        queries, keys, values = block.attention.qkv.weight.detach().split(sizes)
        parts = {"queries": queries, "keys": keys, "values": values, "output": block.attention.out.weight.detach()}
        up = block.mlp.up.weight.detach()
        parts |= {"gate": up[: config.d_ff], "up": up[config.d_ff :]} if config.activation == "swiglu" else {"up": up}
        parts["down"] = block.mlp.down.weight.detach()
        for kind, part in parts.items():
            yield f"layer {layer} {kind}", layer, kind, part
    if model.head is not None:
        yield "head", None, "head", model.head.weight.detach()


def measure_matrices(model: GPT) -> list[Matrix]:
    """Every matrix of the model, measured."""
    return [_measured(name, layer, kind, values.float().cpu()) for name, layer, kind, values in matrices(model)]


def singular_values(matrix: Tensor) -> np.ndarray:
    """The singular values of a matrix (R, C), largest first, float64: (min(R, C),).

    They are the roots of the eigenvalues of the smaller of A A^T and A^T A, which is many times faster than a
    decomposition of A where one side is long. In float64, values down to a ten millionth of the largest are right.
    """
    a = matrix.double()
    gram = a @ a.mT if a.shape[0] < a.shape[1] else a.mT @ a
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0).numpy()


def moved(model: GPT, start: GPT) -> dict[str, float]:
    """How far each matrix is from where it was at `start`, as a share of its length there (Frobenius norms).

    The models have the same shape.
    """
    before = {name: values for name, _, _, values in matrices(start)}
    return {
        name: float((values.cpu() - before[name].cpu()).norm() / before[name].norm().cpu().clamp(min=1e-12))
        for name, _, _, values in matrices(model)
    }


def _measured(name: str, layer: int | None, kind: str, values: Tensor) -> Matrix:
    furthest = float(values.abs().max()) or 1.0
    counts = torch.histc(values, BINS, -furthest, furthest)
    return Matrix(
        name=name,
        layer=layer,
        kind=kind,
        shape=(values.shape[0], values.shape[1]),
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        singular_values=singular_values(values),
        counts=counts.numpy().astype(np.int64),
        edges=np.linspace(-furthest, furthest, BINS + 1),
    )
