"""Figures: the SVG of a panel, and titles that state what the numbers show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from talewright.inspect.figures import style
from talewright.inspect.figures.attention import (
    FILE_TOKENS,
    distance_panel,
    heatmap_panel,
    loss_without_panel,
    roles_comparison_panel,
    roles_panel,
    save_heatmaps,
)
from talewright.inspect.figures.predictions import lens_panel, losses_panel, position_panel
from talewright.inspect.figures.style import BLUE, VARIABLES, Panel, label_apart, save_png, to_svg
from talewright.inspect.figures.weights import comparison_panel, embedding_panel
from talewright.inspect.heads import Head
from talewright.inspect.weights import MatrixStats
from tests.inspect.test_predictions import made


def test_an_svg_keeps_its_text_and_takes_its_colors_from_the_page() -> None:
    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0.12345, 0.5], color=BLUE)
        axes.set_yticks([0.12345], ["0.12345"])
        axes.set_xlabel("a < b & 2.345")

    svg = to_svg(Panel(title="t", draw=draw, how="h"))
    assert "0.12345" in svg
    assert "a &lt; b &amp; 2.345" in svg
    assert "var(--blue)" in svg
    assert not any(color in svg for color in VARIABLES)
    assert not re.search(r'<svg[^>]* (width|height)="', svg)
    assert svg.startswith("<svg ")
    assert not re.search(r"https?://(?!www\.w3\.org)", svg)


def test_the_title_of_a_png_is_above_a_legend_above_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(axes: Any) -> None:
        for number in range(7):
            axes.plot([0, 1], label=f"line {number}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    drawn: list[Any] = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: drawn.append(figure))
    save_png([Panel(title="the finding", draw=draw, how="h")], tmp_path / "a.png")
    drawn[0].canvas.draw()
    axes = drawn[0].axes[0]
    [title] = [text for text in axes.findobj(Text) if text.get_text() == "the finding"]
    assert title.get_window_extent().y0 > axes.get_legend().get_window_extent().y1
    plt.close(drawn[0])


def head(number: int, rise: float, previous: float) -> Head:
    return Head(layer=0, head=number, distance=float(number), roles={"previous token": previous}, loss_without=rise)


def test_titles_say_what_the_numbers_say() -> None:
    heads = [head(0, 0.5, 0.9), head(1, 0.001, 0.1), head(2, 0.01, 0.2)]
    without = "Without head 0.0 the loss is 0.50 higher; 1 of 3 heads hardly matter"
    assert loss_without_panel(heads, 99).title == without
    roles = "1 of 3 heads have a role: 0.0 previous token 90 %"
    assert roles_panel(heads, {"previous token": 0.1}).title == roles
    assert roles_panel(heads[1:], {"previous token": 0.1}).title == "No head has one of these roles"
    assert distance_panel(heads).title == "Head 0.0 attends 0.0 tokens back, head 0.2 attends 2"
    assert lens_panel(np.array([9.0, 8.0, 3.0, 2.5]), 5).title.startswith("Layer 1 improves the prediction most")
    rising = made([0, 1, 2, 90], [0.1, 1.0, 2.0, 3.0], [0.5] * 4, [True] * 4)
    assert position_panel({"a": rising}).title == "The loss is lowest after 0 tokens, 0.10, and 3.00 later on"
    falling = made([0, 1, 2, 90], [5.0, 4.0, 3.0, 1.0], [0.5] * 4, [True] * 4)
    assert position_panel({"a": falling}).title.startswith("The loss falls with the tokens read before, to 1")


def sizes_of_text(svg: str) -> list[float]:
    return [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]


def test_no_text_of_a_panel_is_below_12_points() -> None:
    heads = [head(number, 0.1 / (number + 1), 0.4 / (number + 1)) for number in range(12)]
    losses, tokens = np.linspace(0, 9, 30), [f" word{i}" for i in range(30)]
    panels = [
        heatmap_panel(np.tril(np.full((40, 40), 0.1)), [f"w{i}" for i in range(40)], "0.1"),
        distance_panel(heads),
        roles_panel(heads, {"previous token": 0.1}),
        loss_without_panel(heads, 99),
        lens_panel(losses, 5),
        losses_panel(losses, tokens),
        embedding_panel(tokens, np.random.default_rng(0).normal(size=(30, 2)), 0.2),
    ]
    for panel in panels:
        sizes = sizes_of_text(to_svg(panel))
        assert sizes, panel.title
        assert min(sizes) >= 12, panel.title


def test_the_darkest_cell_of_the_roles_is_the_largest_share() -> None:
    svg = to_svg(roles_panel([head(0, 0.1, 0.4), head(1, 0.1, 0.1)], {"previous token": 0.1}))
    cells = re.findall(r"<path [^>]*fill: var\(--blue\)[^>]*", svg)
    assert len(cells) == 2
    assert "fill-opacity" not in cells[0]  # 0.4 is the largest: opaque
    assert "fill-opacity: 0.25" in cells[1]
    assert ">40</text>" in svg


def test_labels_do_not_lie_over_each_other() -> None:
    def draw(axes: Any) -> None:
        axes.set(xlim=(0, 100), ylim=(0, 100))
        label_apart(axes, ["first", "hidden", "far"], [(10, 10), (11, 11), (90, 90)])

    svg = to_svg(Panel(title="t", draw=draw, how="h"))
    assert [word in svg for word in (">first<", ">hidden<", ">far<")] == [True, False, True]


def test_every_head_has_its_file(tmp_path) -> None:
    weights = np.tril(np.full((2, 3, 90, 90), 0.1))
    paths = save_heatmaps(weights, [f"w{i}$" for i in range(90)], tmp_path)
    heads = {f"attn_layer{layer}_head{number}.png" for layer in range(2) for number in range(3)}
    assert {path.name for path in paths} == {"all_heads.png", *heads}
    assert all(path.stat().st_size > 1000 for path in paths)
    assert FILE_TOKENS < 90


def matrix(name: str, layer: int | None, largest: float) -> MatrixStats:
    return MatrixStats(
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


def test_two_models_are_compared_in_what_both_have() -> None:
    first, second = [head(0, 0.1, 0.9), head(1, 0.1, 0.2)], [head(0, 0.1, 0.4)]
    panel = roles_comparison_panel({"ours": first, "theirs": second})
    assert panel.title == "Previous token: 90 % in ours, 40 % in theirs"
    one = [matrix("layer 0 queries", 0, 4.0), matrix("layer 1 queries", 1, 4.0), matrix("head", None, 9.0)]
    other = [matrix("layer 0 queries", 0, 5.0), matrix("layer 1 queries", 1, 2.0)]
    panel = comparison_panel(one, other, ("ours", "theirs"), "spectral_norm")
    assert panel.title == "The queries of layer 1 differ most in spectral norm: 4.0 and 2.0"
    assert "2 matrices" in panel.how
    assert "spectral norm, ours" in to_svg(panel)
