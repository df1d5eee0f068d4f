"""Where the heads of a circuit look: on which words their attention lies where their output matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from talewright.inspect.activations import record
from talewright.inspect.circuits.attribution import TwinBatch, record_twins, target_gradients, twin_batches
from talewright.inspect.circuits.graph import Graph
from talewright.inspect.circuits.twins import Twins
from talewright.inspect.parts import Part
from talewright.model.gpt import GPT

LOOKS = {
    "answer": "which looks back at the place where the answer was mentioned",
    "difference": "which looks back at the words that decide the answer",
    "itself": "which looks at the current word",
    "previous": "which looks at the word just before",
    "first": "which rests on the start of the text",
}
"""By kind of word that a head may look at, how to say it; the more specific kinds come first."""
LOOK_SHARE = 0.3
"""A head is said to look at a kind of word if this share of its attention lies there."""


def attention_shares(model: GPT, graph: Graph, twins: Twins, heads: Sequence[Part]) -> dict[Part, dict[str, float]]:
    """The share of each head's attention on each kind of word of the clean prompts. Kinds may overlap.

    Positions count by how much the head's output there matters: the size of its change between the twins times the
    gradient of the margin.
    """
    sums = {head: torch.zeros(len(LOOKS)) for head in heads}
    weights = dict.fromkeys(heads, 0.0)
    for rows in twin_batches(model, graph, twins):
        batch = record_twins(model, twins.rows(rows))
        masks = torch.stack(list(word_masks(batch.twins).values())).float()  # (kinds, B, T, T)
        names = [f"blocks.{layer}.attn.pattern" for layer in sorted({head.layer for head in heads})]
        patterns = record(model, batch.twins.clean, names)
        for head, importance in _importance(model, graph, batch, heads).items():
            pattern = patterns[f"blocks.{head.layer}.attn.pattern"][:, head.head]  # (B, T, T)
            sums[head] += torch.einsum("bt,bts,kbts->k", importance, pattern, masks).cpu()
            weights[head] += float(importance.sum())
    return {head: dict(zip(LOOKS, (sums[head] / max(weights[head], 1e-12)).tolist(), strict=True)) for head in heads}


def describe_look(shares: dict[str, float]) -> str:
    """What a head looks at, as a relative clause."""
    best = max(LOOKS, key=shares.__getitem__)
    return LOOKS[best] if shares[best] >= LOOK_SHARE else "which looks at many words"


def word_masks(twins: Twins) -> dict[str, Tensor]:
    """By kind of word, whether the word at the second position (column) is one for that at the first: (B, T, T)."""
    tokens, T = twins.clean, twins.clean.shape[1]
    here = torch.arange(T, device=tokens.device)
    earlier = (here[None] < here[:, None])[None]  # (1, T, T)
    shape = (len(tokens), T, T)
    return {
        "answer": (tokens == twins.right[:, None])[:, None] & earlier,
        "difference": (tokens != twins.corrupt)[:, None] & earlier,
        "itself": (here[None] == here[:, None]).expand(shape),
        "previous": (here[None] == here[:, None] - 1).expand(shape),
        "first": ((here == 0)[None] & (here[:, None] > 0)).expand(shape),
    }


def _importance(model: GPT, graph: Graph, batch: TwinBatch, heads: Sequence[Part]) -> dict[Part, Tensor]:
    """How much each head's output matters at each position: (B, T), at least 0."""
    changes = batch.clean.outputs - batch.corrupt.outputs
    values = batch.clean.first_values
    clean = replace(
        batch.clean,
        outputs=batch.clean.outputs[:1].clone().requires_grad_(),
        first_values=None if values is None else values.clone().requires_grad_(),
    )
    gradients = target_gradients(model, graph, batch._replace(clean=clean))
    gradient = torch.cat([each for each in gradients if each.dim() == 4])  # (V, B, T, D)
    found = {}
    for head in heads:
        u = graph.sources.index(head)
        total = gradient[graph.edges[u].to(gradient.device)].sum(0)  # at the head's output
        found[head] = (changes[u] * total).sum(-1).abs()
    return found
