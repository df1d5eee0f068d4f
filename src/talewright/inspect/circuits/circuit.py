"""The circuit of a kind of question: the few edges that suffice for the model's preference for the right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from talewright.inspect.circuits.attention import attention_shares
from talewright.inspect.circuits.attribution import STEPS, attribute_edges, margins
from talewright.inspect.circuits.graph import EMBEDDING, LOGITS, Graph, Node
from talewright.inspect.circuits.twins import Twins
from talewright.inspect.parts import Part, all_parts
from talewright.model.gpt import GPT

FAITHFUL = 0.8
"""A circuit is large enough if it keeps this share of the preference."""
SIZES = (3, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32)
"""Numbers of edges that are tried; a circuit that needs more is no small graph, and is reported as it is."""
PATCHED_PARTS = 24
"""The parts whose effect is measured by a run of its own: those with the largest estimates."""
KNOCKED_OUT = 8
"""Parts that are taken out one at a time to measure completeness."""
CERTAIN = 2.0
"""Standard errors by which the mean margin must exceed 0: a model without a preference has no circuit."""
LOOKED_AT = 0.05
"""Heads with this share of the effect are described."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """By what share of the preference the margin falls if a part, or an edge, is set to the corrupted text."""

    estimate: float
    """By attribution patching."""
    measured: float | None
    """By activation patching; None if it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """What was found for one kind of question."""

    kind: str
    pairs: int
    skipped: int
    margin: float
    """Mean logit of the right answer minus that of the wrong one, in nats. With the twins swapped it is its negative,
    so that the preference, which the shares refer to, is twice the margin."""
    error: float
    """Standard error of the margin over the pairs."""
    parts: dict[Part, Effect]
    """By part, in the order in which the model computes them."""
    edges: dict[tuple[Node, Node], Effect]
    """The circuit; empty if the model has no preference."""
    all_edges: int
    faithfulness: float | None
    """The share of the preference that the circuit alone keeps."""
    left: float | None
    """The share that the rest of the model keeps without the circuit."""
    incompleteness: float | None
    """The largest difference, as a share of the preference, between the circuit and the whole model when the same part,
    or the whole circuit, is taken out of both (Wang et al. 2022, arXiv:2211.00593, section 4)."""
    looks: dict[Part, dict[str, float]]
    """By head that matters, the share of its attention on each kind of word."""

    @property
    def known(self) -> bool:
        """Whether the model prefers the right answers, beyond chance."""
        return bool(self.pairs) and self.margin > CERTAIN * self.error


def most_passes(model: GPT) -> int:
    """The most passes over the graph that `find_circuit` makes for a row of twins."""
    parts = len(all_parts(model.config))
    attribution = STEPS + 1  # one of them for the attention of the heads
    return 1 + attribution + len(SIZES) + min(PATCHED_PARTS, parts) + SIZES[-1] + min(KNOCKED_OUT, parts) + 1


def find_circuit(model: GPT, twins: Twins, on_pass: Callable[[int], None] = lambda rows: None) -> Circuit:
    """Estimate the effect of every edge, grow the circuit until it is faithful, and measure its edges and parts by
    real runs. on_pass: is called with the number of rows of each pass over the graph (see `most_passes`).

    Raises UserError for a post-norm model.
    """
    graph = Graph(model.config, on_pass)
    common = {"kind": twins.kind, "pairs": twins.pairs, "skipped": twins.skipped, "all_edges": int(graph.edges.sum())}
    nothing: dict[str, Any] = {"parts": {}, "edges": {}, "faithfulness": None, "left": None, "incompleteness": None}
    margin, error = mean_margin(margins(model, graph, twins, [graph.all_on()])[0]) if twins.pairs else (0.0, 0.0)
    empty = Circuit(margin=margin, error=error, looks={}, **common, **nothing)
    if not empty.known:
        return empty
    shares = attribute_edges(model, graph, twins) / (2 * margin)
    edges, faithfulness = _smallest(model, graph, twins, shares, margin)
    found = _measure(model, graph, twins, shares, edges, margin)
    heads = [
        part for part, effect in found["parts"].items() if part.head is not None and abs(_size(effect)) >= LOOKED_AT
    ]
    return Circuit(
        margin=margin,
        error=error,
        faithfulness=faithfulness,
        looks=attention_shares(model, graph, twins, heads) if heads else {},
        **found,
        **common,
    )


def mean_margin(each: Tensor) -> tuple[float, float]:
    """The mean margin, and its standard error over pairs, of the margins (N,) of adjacent twins."""
    pairs = each.double().view(-1, 2).mean(1)
    error = pairs.std() / len(pairs) ** 0.5 if len(pairs) > 1 else torch.tensor(float("inf"))
    return float(pairs.mean()), float(error)


def grow(graph: Graph, shares: Tensor, count: int) -> Tensor:
    """The circuit of `count` edges, (U, V) bool: from the logits backward, always the edge with the largest estimate
    among those into what it already holds (Hanna et al. 2024). Edges from a part that nothing reaches carry no change,
    and are left out.
    """
    sizes, chosen = shares.abs() * graph.edges, torch.zeros_like(graph.edges)
    inside = torch.zeros(len(graph.targets), dtype=torch.bool)
    inside[-1] = True
    for _ in range(count):
        waiting = torch.where(inside & ~chosen, sizes, 0.0)
        u, v = divmod(int(waiting.argmax()), len(graph.targets))
        if waiting[u, v] == 0:
            break
        chosen[u, v] = True
        if u:
            inside[u - 1] = True  # source u is target u - 1
    for v in range(len(graph.targets) - 1):  # in order, so that a part is dropped after those that it reads
        if not chosen[:, v].any():
            chosen[v + 1] = False
    return chosen


def _smallest(model: GPT, graph: Graph, twins: Twins, shares: Tensor, margin: float) -> tuple[Tensor, float]:
    """The smallest faithful circuit of those tried, or the most faithful if none is; and its faithfulness."""
    circuits = [grow(graph, shares, size) for size in SIZES]
    kept = [_share(row, margin) for row in margins(model, graph, twins, [each.float() for each in circuits])]
    best = next((i for i, share in enumerate(kept) if share >= FAITHFUL), max(range(len(kept)), key=kept.__getitem__))
    return circuits[best], kept[best]


def _measure(model: GPT, graph: Graph, twins: Twins, shares: Tensor, circuit: Tensor, margin: float) -> dict[str, Any]:
    """Activation patching of parts and of the circuit's edges; and the circuit's completeness."""
    parts = sorted(graph.parts, key=lambda part: -abs(float(shares[graph.sources.index(part)].sum())))[:PATCHED_PARTS]
    pairs = [(u, v) for u, v in circuit.nonzero().tolist()]
    out = [part for part in parts if circuit[graph.sources.index(part)].any()][:KNOCKED_OUT]
    runs = [graph.without_source(part) for part in parts]
    runs += [_without_edges(graph.all_on(), [pair]) for pair in pairs]
    runs += [circuit.float() * graph.without_source(part) for part in out]
    runs += [graph.all_on() * ~circuit]
    kept = [_share(row, margin) for row in margins(model, graph, twins, runs)]
    of_parts, of_edges = kept[: len(parts)], kept[len(parts) : len(parts) + len(pairs)]
    without, left = dict(zip(parts, of_parts, strict=True)), kept[-1]
    differences = [abs(a - without[part]) for part, a in zip(out, kept[len(parts) + len(pairs) : -1], strict=True)]
    return {
        "parts": {
            part: Effect(
                estimate=float(shares[graph.sources.index(part)].sum()),
                measured=1 - without[part] if part in without else None,
            )
            for part in graph.parts
        },
        "edges": {
            (graph.sources[u], graph.targets[v]): Effect(estimate=float(shares[u, v]), measured=1 - share)
            for (u, v), share in zip(pairs, of_edges, strict=True)
        },
        "left": left,
        "incompleteness": max([abs(left), *differences]),
    }


def _without_edges(weights: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    for u, v in pairs:
        weights[u, v] = 0
    return weights


def _share(each: Tensor, margin: float) -> float:
    """The share of the preference that a run with these margins keeps: 0 on the corrupted text, 1 on the clean one."""
    return (float(each.double().mean()) + margin) / (2 * margin)


def _size(effect: Effect) -> float:
    return effect.estimate if effect.measured is None else effect.measured


def circuit_json(circuit: Circuit, roles: Mapping[Part, str] | None = None) -> dict[str, Any]:
    """The circuit as plain values. roles: by head, as `circuit_sentence` says them."""
    from talewright.inspect.circuits.sentence import circuit_sentence

    return {
        "kind": circuit.kind,
        "sentence": circuit_sentence(circuit, roles),
        "pairs": circuit.pairs,
        "skipped_pairs": circuit.skipped,
        "margin": circuit.margin,
        "margin_standard_error": circuit.error,
        "faithfulness": circuit.faithfulness,
        "left_without": circuit.left,
        "incompleteness": circuit.incompleteness,
        "edges_of_model": circuit.all_edges,
        "parts": [{"part": part.name, **vars(effect)} for part, effect in circuit.parts.items()],
        "edges": [
            {"from": node_name(source), "to": node_name(target), **vars(effect)}
            for (source, target), effect in circuit.edges.items()
        ],
        "attention": {head.name: shares for head, shares in circuit.looks.items()},
    }


def node_name(node: Node) -> str:
    return node.name if isinstance(node, Part) else {EMBEDDING: "embedding", LOGITS: "logits"}[node]
