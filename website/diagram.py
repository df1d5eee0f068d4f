"""Mermaid's simplest flowcharts as SVG, drawn while the site is built: no script, and the colors of the page.

Mermaid itself is 2.5 MB of JavaScript. The pages need arrows between words, as in

    graph LR
        train --> run
        run --> data
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

BLOCK = re.compile(r"^```mermaid\n\s*graph \w+\n(?P<arrows>(?:\s*\w+ --> \w+\n)+)\s*```$", re.MULTILINE)
ARROW = re.compile(r"(\w+) --> (\w+)")
ACROSS, DOWN, HEIGHT, CHARACTER, MARGIN = 92, 58, 28, 8.4, 50
Node = tuple[str, ...]
"""A box is (name,). Where an arrow passes a layer on its way, it is a point: (from, to, layer)."""


def draw_diagrams(markdown: str) -> str:
    """The page with each flowchart of simple arrows replaced by its drawing, from top to bottom."""
    return BLOCK.sub(lambda match: drawing(ARROW.findall(match["arrows"])), markdown)


def layers_of(arrows: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The layer of each box: below all that point to it (the longest path), and as close as can be to what it points
    to.
    """
    arrows = list(arrows)
    layers = {name: 0 for arrow in arrows for name in arrow}
    for _ in layers:
        for start, end in arrows:
            layers[end] = max(layers[end], layers[start] + 1)
    if any(layers[end] <= layers[start] for start, end in arrows):
        raise ValueError("the arrows of a diagram go in a circle")
    for start in sorted(layers, key=lambda name: -layers[name]):
        ends = [layers[end] for begin, end in arrows if begin == start]
        layers[start] = min(ends) - 1 if ends else layers[start]
    return layers


def paths_of(arrows: Iterable[tuple[str, str]], layers: Mapping[str, int]) -> list[list[Node]]:
    """Each arrow as the nodes that it passes, one per layer."""
    return [[(a,), *((a, b, str(layer)) for layer in range(layers[a] + 1, layers[b])), (b,)] for a, b in arrows]


def places_of(paths: Iterable[list[Node]], layers: Mapping[str, int]) -> dict[Node, float]:
    """How far to the right of the middle each node is, so that few arrows cross: again and again, each layer is sorted
    by the mean place of its neighbors (Sugiyama et al. 1981).
    """
    rows: dict[int, list[Node]] = {}
    neighbors: dict[Node, list[Node]] = {}
    for path in paths:
        for node in path:
            row = rows.setdefault(layer_of(node, layers), [])
            row += [node] if node not in row else []
        for a, b in pairwise(path):
            neighbors.setdefault(a, []).append(b)
            neighbors.setdefault(b, []).append(a)
    places: dict[Node, float] = {}
    for row in rows.values():
        places |= spread(row)
    for turn in range(24):
        for layer in sorted(rows, reverse=bool(turn % 2)):
            means = {node: sum(places[each] for each in neighbors[node]) / len(neighbors[node]) for node in rows[layer]}
            places |= spread(sorted(rows[layer], key=lambda node: means[node]))
    return places


def layer_of(node: Node, layers: Mapping[str, int]) -> int:
    return layers[node[0]] if len(node) == 1 else int(node[2])


def spread(row: list[Node]) -> dict[Node, float]:
    """The nodes side by side around the middle; a point takes less width than a box."""
    widths = [1.0 if len(node) == 1 else 0.5 for node in row]
    starts = [sum(widths[:i]) - sum(widths) / 2 for i in range(len(row))]
    return {node: start + width / 2 for node, start, width in zip(row, starts, widths, strict=True)}


def drawing(arrows: list[tuple[str, str]]) -> str:
    """The flowchart as one line of SVG, for inside a page of Markdown."""
    layers = layers_of(arrows)
    paths = paths_of(arrows, layers)
    places = places_of(paths, layers)
    left = min(places.values())
    width = ACROSS * (max(places.values()) - left) + 2 * MARGIN
    height = DOWN * max(layers.values()) + HEIGHT + 4

    def point(node: Node) -> tuple[float, float]:
        return ACROSS * (places[node] - left) + MARGIN, DOWN * layer_of(node, layers) + HEIGHT / 2 + 2

    lines = "".join(f'<path d="{curve([point(node) for node in path])}"/>' for path in paths)
    boxes = "".join(box(name, *point((name,))) for name in layers)
    label = html.escape("; ".join(f"{a} to {b}" for a, b in arrows))
    return (
        f'<div class="diagram" tabindex="0" role="group" aria-label="Diagram"><svg viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img" aria-label="Arrows: {label}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" '
        'refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<g class="lines">{lines}</g><g class="boxes">{boxes}</g></svg></div>'
    )


def box(name: str, x: float, y: float) -> str:
    width = CHARACTER * len(name) + 16
    return (
        f'<rect x="{x - width / 2:g}" y="{y - HEIGHT / 2:g}" width="{width:g}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x:g}" y="{y + 5:g}">{html.escape(name)}</text>'
    )


def curve(points: list[tuple[float, float]]) -> str:
    """A smooth line from the lower edge of the first point's box to the upper edge of the last one's."""
    (x, y), *rest = points
    y += HEIGHT / 2
    line = f"M{x:g} {y:g}"
    for i, (next_x, middle) in enumerate(rest):
        next_y = middle - HEIGHT / 2 if i == len(rest) - 1 else middle
        bend = (next_y - y) / 2
        line += f"C{x:g} {y + bend:g} {next_x:g} {next_y - bend:g} {next_x:g} {next_y:g}"
        x, y = next_x, next_y
    return line
