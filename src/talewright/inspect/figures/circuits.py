"""A circuit as a graph: its parts from left to right in the order in which they are computed, as SVG."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from itertools import pairwise
from typing import NamedTuple

from talewright.inspect.circuits.circuit import Circuit, Effect, node_name
from talewright.inspect.circuits.graph import EMBEDDING, LOGITS, Node
from talewright.inspect.circuits.pushes import part_label
from talewright.inspect.circuits.sentence import percent
from talewright.inspect.parts import Part

WIDTH, HEIGHT, SPACE = 88, 40, 46
"""Of a node; and between two columns."""
GAP, LANE = 14, 16
"""Between two things in a column, and the height of a lane, in which a connection passes a column."""
THICK, THIN = 8.0, 1.2
SWEEPS = 4
"""Times that the order in the columns is improved."""
_SHARE = ' class="share"'


class GraphPlace(NamedTuple):
    """A place in a column: a node, or the lane in which the connections of a source pass."""

    column: int
    node: Node
    lane: bool = False


def circuit_svg(circuit: Circuit) -> str:
    """The circuit's nodes and connections. A connection is as thick as its measured effect is large, blue if it helps,
    orange and dashed if it works against the preference. Empty if there is no circuit.
    """
    if not circuit.edges:
        return ""
    columns = node_columns(circuit)
    places, height = _places(circuit, columns)
    largest = max(abs(_size(effect)) for effect in circuit.edges.values()) or 1.0
    width = (WIDTH + SPACE) * (1 + max(columns.values())) - SPACE + 4
    edges = sorted(circuit.edges.items(), key=lambda item: -abs(_size(item[1])))
    drawn = [_edge(circuit, pair, columns, places, largest) for pair, _ in edges]
    drawn += [_node(circuit, node, places[GraphPlace(column, node)], column) for node, column in columns.items()]
    return (
        f'<svg class="circuit" role="img" width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}" '
        f'aria-label="{escape(text_alternative(circuit), quote=True)}">{"".join(drawn)}</svg>'
    )


def text_alternative(circuit: Circuit) -> str:
    """The graph in words."""
    edges = sorted(circuit.edges.items(), key=lambda item: -abs(_size(item[1])))
    listed = (f"{_label(u)} to {_label(v)} {percent(_size(effect))}" for (u, v), effect in edges)
    return f"The circuit's {len(edges)} connections, and the share of the preference of each: {', '.join(listed)}."


def node_columns(circuit: Circuit) -> dict[Node, int]:
    """By node of the circuit, its column: those of one column are computed side by side."""
    nodes = {node for pair in circuit.edges for node in pair}
    used = sorted({_order(node) for node in nodes})
    return {node: used.index(_order(node)) for node in sorted(nodes, key=lambda node: (_order(node), str(node)))}


def _order(node: Node) -> tuple[int, int]:
    if isinstance(node, Part):
        return node.layer, int(node.head is None)
    return (-1, 0) if node == EMBEDDING else (1 << 30, 0)


def _places(circuit: Circuit, columns: dict[Node, int]) -> tuple[dict[GraphPlace, float], float]:
    """By slot, the height of its middle; and the height of the picture. Slots are ordered so that few lines cross."""
    rows = {GraphPlace(column, node): None for node, column in columns.items()}
    links: dict[GraphPlace, list[GraphPlace]] = defaultdict(list)
    for source, target in circuit.edges:
        way = _way(columns, source, target)
        rows |= dict.fromkeys(way)
        for before, after in pairwise(way):
            links[before].append(after)
            links[after].append(before)
    table = [[slot for slot in rows if slot.column == column] for column in range(1 + max(columns.values()))]
    height = max(_height(slots) for slots in table)
    places: dict[GraphPlace, float] = {}
    for column in table:
        _stack(column, height, places)
    for sweep in range(SWEEPS):
        for column in table if sweep % 2 == 0 else table[::-1]:
            middles = {slot: sum(places[other] for other in links[slot]) / len(links[slot]) for slot in column}
            column.sort(key=middles.__getitem__)
            _stack(column, height, places)
    return places, height


def _way(columns: dict[Node, int], source: Node, target: Node) -> list[GraphPlace]:
    """The slots that a connection goes through."""
    lanes = (GraphPlace(column, source, True) for column in range(columns[source] + 1, columns[target]))
    return [GraphPlace(columns[source], source), *lanes, GraphPlace(columns[target], target)]


def _height(slots: list[GraphPlace]) -> float:
    return sum((LANE if slot.lane else HEIGHT) + GAP for slot in slots)


def _stack(slots: list[GraphPlace], height: float, places: dict[GraphPlace, float]) -> None:
    """Put the slots of a column one under the other, in the middle of the picture."""
    y = (height - _height(slots)) / 2
    for slot in slots:
        size = (LANE if slot.lane else HEIGHT) + GAP
        places[slot] = y + size / 2
        y += size


def _edge(
    circuit: Circuit, pair: tuple[Node, Node], columns: dict[Node, int], places: dict[GraphPlace, float], largest: float
) -> str:
    way, size = _way(columns, *pair), _size(circuit.edges[pair])
    path = ""
    for before, after in pairwise(way):
        left, right = _left(before.column) + WIDTH, _left(after.column)
        middle = (left + right) / 2
        path += f"{'L' if path else 'M'}{left} {places[before]:.1f}"
        path += f"C{middle} {places[before]:.1f} {middle} {places[after]:.1f} {right} {places[after]:.1f}"
    kind, thickness = "edge" if size >= 0 else "edge against", max(THIN, THICK * abs(size) / largest)
    effect = f"{percent(abs(size))} {'less' if size >= 0 else 'more'} preference without it"
    title = f"{_label(pair[0])} → {_label(pair[1])}: {effect}"
    return f'<path class="{kind}" stroke-width="{thickness:.1f}" d="{path}"><title>{title}</title></path>'


def _node(circuit: Circuit, node: Node, y: float, column: int) -> str:
    x, effect = _left(column), circuit.parts.get(node) if isinstance(node, Part) else None
    lines = [_label(node)] if effect is None else [_label(node), percent(_size(effect))]
    first = y + 4.5 - 8 * (len(lines) - 1)
    texts = "".join(
        f'<text x="{x + WIDTH // 2}" y="{first + 16 * i:.1f}"{_SHARE if i else ""}>{line}</text>'
        for i, line in enumerate(lines)
    )
    box = f'<rect x="{x}" y="{y - HEIGHT / 2:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    return f'<g class="node" data-part="{node_name(node)}">{box}{texts}</g>'


def _left(column: int) -> int:
    return 2 + column * (WIDTH + SPACE)


def _label(node: Node) -> str:
    return "next word" if node == LOGITS else part_label(node_name(node))


def _size(effect: Effect) -> float:
    """The share of the preference that is gone without it, as measured, else as estimated."""
    return effect.estimate if effect.measured is None else effect.measured
