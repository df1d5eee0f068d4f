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

BLOCK = re.compile(r"^```mermaid\n\s*graph LR\n(?P<arrows>(?:\s*\w+ --> \w+\n)+)\s*```$", re.MULTILINE)
ARROW = re.compile(r"(\w+) --> (\w+)")
COLUMN, ROW, BOX, CHARACTER = 150, 46, 30, 8.6
Node = tuple[str, ...]
"""A box is (name,); where an arrow crosses a column on its way, a point (from, to, column)."""


def draw_diagrams(markdown: str) -> str:
    """The page with each flowchart of simple arrows replaced by its drawing. Other diagrams stay as text."""
    return BLOCK.sub(lambda match: drawing(ARROW.findall(match["arrows"])), markdown)


def columns_of(arrows: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The column of each box: one to the right of all that point to it (the longest path to it)."""
    arrows = list(arrows)
    columns = {name: 0 for arrow in arrows for name in arrow}
    for _ in columns:
        for start, end in arrows:
            columns[end] = max(columns[end], columns[start] + 1)
    if any(columns[end] <= columns[start] for start, end in arrows):
        raise ValueError("the arrows of a diagram go in a circle")
    for start in sorted(columns, key=lambda name: -columns[name]):  # close to what it points to: shorter arrows
        ends = [columns[end] for begin, end in arrows if begin == start]
        columns[start] = min(ends) - 1 if ends else columns[start]
    return columns


def paths_of(arrows: Iterable[tuple[str, str]], columns: Mapping[str, int]) -> list[list[Node]]:
    """Each arrow as the nodes that it passes, one per column."""
    return [
        [(a,), *((a, b, str(column)) for column in range(columns[a] + 1, columns[b])), (b,)] for a, b in arrows
    ]


def rows_of(paths: Iterable[list[Node]], columns: Mapping[str, int]) -> dict[Node, float]:
    """The height of each node, so that few arrows cross: each column is sorted by the mean height of its neighbors."""
    layers: dict[int, list[Node]] = {}
    neighbors: dict[Node, list[Node]] = {}
    for path in paths:
        for node in path:
            layer = layers.setdefault(columns[node[0]] if len(node) == 1 else int(node[2]), [])
            layer += [node] if node not in layer else []
        for a, b in pairwise(path):
            neighbors.setdefault(a, []).append(b)
            neighbors.setdefault(b, []).append(a)
    rows: dict[Node, float] = {node: i - len(layer) / 2 for layer in layers.values() for i, node in enumerate(layer)}
    for sweep in range(24):
        for column in sorted(layers, reverse=bool(sweep % 2)):
            layer = sorted(layers[column], key=lambda node: sum(rows[n] for n in neighbors[node]) / len(neighbors[node]))
            rows |= {node: i - len(layer) / 2 for i, node in enumerate(layer)}
    return rows


def drawing(arrows: list[tuple[str, str]]) -> str:
    """The flowchart as one line of SVG, for inside a page of Markdown."""
    columns = columns_of(arrows)
    paths = paths_of(arrows, columns)
    rows = rows_of(paths, columns)
    top = min(rows.values())
    width = COLUMN * max(columns.values()) + 120
    height = ROW * (max(rows.values()) - top) + BOX + 4

    def place(node: Node) -> tuple[float, float]:
        return COLUMN * (columns[node[0]] if len(node) == 1 else int(node[2])), ROW * (rows[node] - top) + BOX / 2 + 2

    lines = "".join(f'<path d="{curve([(*place(node), box_width(node)) for node in path])}"/>' for path in paths)
    boxes = "".join(
        f'<rect x="{place((name,))[0]}" y="{place((name,))[1] - BOX / 2:g}" width="{box_width((name,)):g}" '
        f'height="{BOX}" rx="6"/><text x="{place((name,))[0] + box_width((name,)) / 2:g}" '
        f'y="{place((name,))[1] + 4.5:g}">{html.escape(name)}</text>'
        for name in columns
    )
    label = html.escape("; ".join(f"{a} to {b}" for a, b in arrows))
    return (
        f'<div class="diagram" tabindex="0" role="group" aria-label="Diagram"><svg viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img" aria-label="Arrows: {label}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" '
        'refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<g class="lines">{lines}</g><g class="boxes">{boxes}</g></svg></div>'
    )


def box_width(node: Node) -> float:
    return CHARACTER * len(node[0]) + 18 if len(node) == 1 else 0


def curve(points: list[tuple[float, float, float]]) -> str:
    """A smooth line through the points (x, y, width of the box there)."""
    (x, y, width), *rest = points
    line, x = f"M{x + width:g} {y:g}", x + width
    for next_x, next_y, _ in rest:
        bend = (next_x - x) / 2
        line += f"C{x + bend:g} {y:g} {next_x - bend:g} {next_y:g} {next_x:g} {next_y:g}"
        x, y = next_x, next_y
    return line
