"""How much each edge matters: estimated by one gradient, and measured by runs with edges set to the corrupted text.

The metric is the logit of the right answer minus that of the wrong one, in nats. Attribution patching estimates by how
much it would fall if the target of an edge read what the source writes on the corrupted text: the change of the
source's output times the gradient at the target's input (Nanda 2023, "Attribution patching"; for edges Syed et al.
2023, arXiv:2310.10348). The gradient may be averaged over inputs between the two texts (integrated gradients: Hanna et
al. 2024, arXiv:2403.17806).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from talewright.inspect.circuits.graph import Graph, Recorded, graph_pass, record_sources
from talewright.inspect.circuits.twins import Twins
from talewright.model.gpt import GPT

BATCH_BYTES, BATCH_ROWS = 1 << 27, 32
"""Memory of one batch's outputs of all sources, of which a pass holds a few times as much; and the most rows, because
rows of similar length need little padding."""
STEPS = 5
"""Inputs between the two texts over which the gradient is averaged."""


class TwinBatch(NamedTuple):
    """Some of the twins, with what the model computes on both prompts."""

    twins: Twins
    clean: Recorded
    corrupt: Recorded


def twin_batches(model: GPT, graph: Graph, twins: Twins) -> list[slice]:
    """The rows of each batch, twins kept together."""
    row = 4 * len(graph.sources) * model.config.d_model * max(1, twins.clean.shape[1])
    size = min(BATCH_ROWS, 2 * max(1, BATCH_BYTES // (2 * row)))
    return [slice(start, start + size) for start in range(0, len(twins.clean), size)]


def record_twins(model: GPT, twins: Twins) -> TwinBatch:
    """Run the model on both prompts of these rows."""
    twins = twins.to(model.output_weight.device)
    return TwinBatch(twins, record_sources(model, twins.clean), record_sources(model, twins.corrupt))


def answer_margin(model: GPT, stream: Tensor, twins: Twins) -> Tensor:
    """The logit of the right answer minus that of the wrong one, (N,), of what the last norm reads, (N, T, D)."""
    rows = torch.arange(len(stream), device=stream.device)
    hidden = model.norm(stream[rows, twins.last])  # (N, D)
    weight = model.output_weight
    return (hidden * (weight[twins.right] - weight[twins.wrong])).sum(-1)


@torch.no_grad()
def margins(model: GPT, graph: Graph, twins: Twins, runs: Sequence[Tensor]) -> Tensor:
    """The margin of every twin in runs with these weights of the edges, (U, V) each: (runs, N), on the CPU."""
    columns = []
    for rows in twin_batches(model, graph, twins):
        batch = record_twins(model, twins.rows(rows))
        streams = (graph_pass(model, graph, batch.clean, batch.corrupt, weights) for weights in runs)
        columns.append(torch.stack([answer_margin(model, stream, batch.twins).cpu() for stream in streams]))
    return torch.cat(columns, 1)


def attribute_edges(model: GPT, graph: Graph, twins: Twins, steps: int = STEPS) -> Tensor:
    """The estimated fall of the mean margin when an edge is set to the corrupted text: (U, V), 0 where there is none.

    steps: 1 takes the gradient at the clean text alone; more average it over so many inputs on the way to it.
    """
    total = torch.zeros(graph.edges.shape, dtype=model.output_weight.dtype)
    for rows in twin_batches(model, graph, twins):
        batch = record_twins(model, twins.rows(rows))
        for step in range(1, steps + 1):
            total += _attributed(model, graph, batch, step / steps).cpu() / steps
    return total * graph.edges / len(twins.clean)


def _attributed(model: GPT, graph: Graph, batch: TwinBatch, share: float) -> Tensor:
    """Summed over the rows; the gradient is taken where the input is this share of the way to the clean text."""
    clean, corrupt = batch.clean, batch.corrupt
    changes = clean.outputs - corrupt.outputs  # (U, B, T, D)
    between = replace(clean, outputs=(corrupt.outputs[:1] + share * changes[:1]).requires_grad_())
    value_changes = None
    if clean.first_values is not None and corrupt.first_values is not None:
        value_changes = clean.first_values - corrupt.first_values
        between = replace(between, first_values=(corrupt.first_values + share * value_changes).requires_grad_())
    gradients = target_gradients(model, graph, TwinBatch(batch.twins, between, corrupt))
    columns: list[Tensor] = []  # (U, targets) each
    for gradient in gradients:
        if gradient.dim() == 4:
            columns.append(torch.einsum("ubtd,vbtd->uv", changes, gradient))
        elif value_changes is not None:  # (H, B, K, T, d), of the same heads as the column before
            columns[-1][0] += (value_changes * gradient).flatten(1).sum(1)
    return torch.cat(columns, 1)


@torch.enable_grad()
def target_gradients(model: GPT, graph: Graph, batch: TwinBatch) -> list[Tensor]:
    """The gradient of the summed margin at what each target reads, in the order in which `graph_pass` shows them. The
    clean outputs need gradients.
    """
    seen: list[Tensor] = []
    stream = graph_pass(model, graph, batch.clean, batch.corrupt, graph.all_on(), seen.append)
    return list(torch.autograd.grad(answer_margin(model, stream, batch.twins).sum(), seen))
