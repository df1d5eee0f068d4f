"""Flowcharts as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from website.diagram import draw_diagrams, layers_of, paths_of, places_of

ARROWS = [("a", "b"), ("b", "d"), ("a", "d"), ("c", "d")]


def test_a_box_is_below_all_that_point_to_it_and_close_to_what_it_points_to() -> None:
    assert layers_of(ARROWS) == {"a": 0, "b": 1, "d": 2, "c": 1}


def test_arrows_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        layers_of([("a", "b"), ("b", "a")])


def test_no_two_nodes_of_a_layer_share_a_place() -> None:
    layers = layers_of(ARROWS)
    paths = paths_of(ARROWS, layers)
    assert [("a",), ("a", "d", "1"), ("d",)] in paths
    places = places_of(paths, layers)
    middle = [places[node] for node in (("b",), ("c",), ("a", "d", "1"))]
    assert len(set(middle)) == 3


def test_two_crossing_arrows_are_untangled() -> None:
    arrows = [("a", "y"), ("b", "x"), ("a", "u"), ("b", "v"), ("x", "z"), ("y", "z"), ("u", "z"), ("v", "z")]
    layers = layers_of(arrows)
    places = places_of(paths_of(arrows, layers), layers)
    assert (places["a",] < places["b",]) == (places["y",] < places["x",]) == (places["u",] < places["v",])


def test_a_flowchart_of_a_page_becomes_svg_with_every_box_and_arrow() -> None:
    text = "before\n\n```mermaid\ngraph LR\n    train --> run\n    run --> data\n```\n\nafter\n"
    page = draw_diagrams(text)
    assert page.startswith("before\n\n<div")
    assert page.endswith("</div>\n\nafter\n")
    drawing = ElementTree.fromstring(page.split("\n\n")[1])
    assert [each.text for each in drawing.iter("text")] == ["train", "run", "data"]
    assert len(drawing.findall(".//g[@class='lines']/path")) == 2
    tops = [float(each.get("y", "")) for each in drawing.iter("rect")]
    assert tops == sorted(tops)
    assert not re.search(r"\n\s", page.split("\n\n")[1])  # a block of HTML ends at a blank line


def test_another_diagram_stays_as_it_is() -> None:
    text = "```mermaid\nsequenceDiagram\n    a->>b: hello\n```\n"
    assert draw_diagrams(text) == text
