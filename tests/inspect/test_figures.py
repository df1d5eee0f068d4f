"""Pictures: what the SVG of the page keeps of a drawing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from talewright.inspect.figures.attention import (
    MOST_WORDS,
    loss_without_panel,
    reach_panel,
    roles_beside_panel,
    roles_panel,
    save_heatmaps,
)
from talewright.inspect.figures.predictions import lens_panel, position_panel
from talewright.inspect.figures.style import BLUE, VARIABLES, Panel, to_svg
from talewright.inspect.figures.weights import beside_panel
from talewright.inspect.heads import Head
from talewright.inspect.weights import Matrix
from tests.inspect.test_predictions import made


def test_an_svg_keeps_its_words_and_leaves_colours_to_the_page() -> None:
    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0.12345, 0.5], color=BLUE)
        axes.set_yticks([0.12345], ["0.12345"])
        axes.set_xlabel("a < b & 2.345")

    svg = to_svg(Panel(title="t", draw=draw, how="h"))
    assert "0.12345" in svg
    assert "a &lt; b &amp; 2.345" in svg
    assert "var(--blue)" in svg
    assert not any(colour in svg for colour in VARIABLES)
    assert not re.search(r'<svg[^>]* (width|height)="', svg)
    assert svg.startswith("<svg ")
    assert not re.search(r"https?://(?!www\.w3\.org)", svg)


def head(number: int, rise: float, previous: float) -> Head:
    return Head(layer=0, head=number, reach=float(number), roles={"previous token": previous}, loss_without=rise)


def test_titles_say_what_the_numbers_say() -> None:
    heads = [head(0, 0.5, 0.9), head(1, 0.001, 0.1), head(2, 0.01, 0.2)]
    missed = "Without head 0.0 the loss is 0.50 higher; 1 of 3 would hardly be missed"
    assert loss_without_panel(heads, 99).title == missed
    kept = "1 of 3 heads keep to a role; 0.0 is clearest: previous token, 90 %"
    assert roles_panel(heads, {"previous token": 0.1}).title == kept
    assert roles_panel(heads[1:], {"previous token": 0.1}).title == "No head keeps to one of these roles"
    assert reach_panel(heads).title == "Head 0.0 looks 0.0 tokens back, head 0.2 looks 2"
    assert lens_panel(np.array([9.0, 8.0, 3.0, 2.5]), 5).title.startswith("Layer 1 settles most")
    rising = made([0, 1, 2, 90], [0.1, 1.0, 2.0, 3.0], [0.5] * 4, [True] * 4)
    assert position_panel({"a": rising}).title == "Beginnings are easiest: a loss of 0.10 after 0 tokens, then 3.00"
    falling = made([0, 1, 2, 90], [5.0, 4.0, 3.0, 1.0], [0.5] * 4, [True] * 4)
    assert position_panel({"a": falling}).title.startswith("The more it has read, the better it expects: a loss of 1")


def test_every_head_has_its_file(tmp_path) -> None:
    weights = np.tril(np.full((2, 3, 90, 90), 0.1))
    paths = save_heatmaps(weights, [f"w{i}$" for i in range(90)], tmp_path)
    heads = {f"attn_layer{layer}_head{number}.png" for layer in range(2) for number in range(3)}
    assert {path.name for path in paths} == {"all_heads.png", *heads}
    assert all(path.stat().st_size > 1000 for path in paths)
    assert MOST_WORDS < 90


def matrix(name: str, layer: int | None, largest: float) -> Matrix:
    return Matrix(
        name=name,
        layer=layer,
        kind=name.split()[-1],
        shape=(2, 2),
        mean=0.0,
        std=1.0,
        singular_values=np.array([largest, 1.0]),
        counts=np.zeros(61, dtype=np.int64),
        edges=np.linspace(-1, 1, 62),
    )


def test_two_models_are_set_beside_each_other_where_both_have_something_to_show() -> None:
    first, second = [head(0, 0.1, 0.9), head(1, 0.1, 0.2)], [head(0, 0.1, 0.4)]
    panel = roles_beside_panel({"ours": first, "theirs": second})
    assert panel.title == "Previous token: 90 % in ours, 40 % in theirs"
    one = [matrix("layer 0 queries", 0, 4.0), matrix("layer 1 queries", 1, 4.0), matrix("head", None, 9.0)]
    other = [matrix("layer 0 queries", 0, 5.0), matrix("layer 1 queries", 1, 2.0)]
    panel = beside_panel(one, other, ("ours", "theirs"), "spectral_norm")
    assert panel.title == "The queries of layer 1 differ most in spectral norm: 4.0 and 2.0"
    assert "2 matrices" in panel.how
    assert "spectral norm, ours" in to_svg(panel)
