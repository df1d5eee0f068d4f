from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.inspect.figures.style import Panel
from talewright.scaling.sweep import pictures
from talewright.scaling.sweep.pictures import draw_results, frontier
from talewright.scaling.sweep.results import Trial, rows_of


def test_the_frontier_holds_what_no_other_point_beats():
    xs, ys = [1.0, 2.0, 2.0, 3.0, 4.0, 0.0], [3.0, 2.0, 2.5, 2.2, 1.0, 0.1]
    assert frontier(xs, ys) == [(1.0, 3.0), (2.0, 2.0), (4.0, 1.0)]  # an evaluation before training costs nothing
    assert math.inf not in [y for _, y in frontier(xs, ys)]


@given(points=st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 10)), min_size=1, max_size=20))
def test_no_point_lies_below_the_line_of_the_frontier(points):
    edge = frontier(*zip(*points, strict=True))
    for x, y in points:
        assert edge[0][0] <= x
        for (x0, y0), (x1, y1) in itertools.pairwise(edge):
            if x0 <= x <= x1:
                assert y >= y0 + (y1 - y0) * (x - x0) / (x1 - x0) - 1e-9


def trial(name: str, seed: int, bits: float, minutes: float) -> Trial:
    cost = {"parameters": 1000, "minutes": minutes, "tokens": 1e6, "flops": 1e12 * minutes}
    attributes = {"bits_per_byte": bits, **cost}
    return Trial(number=0, point={"point": name}, seed=seed, run=Path(name), state="complete", attributes=attributes)


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> Callable[..., dict[str, list[Any]]]:
    """Draws trials; returns, by file, matplotlib's axes of its panels."""
    files: dict[str, list[Any]] = {}
    real = pictures.save_png

    def watch(panels: list[Panel], path: Path, **options: Any) -> Path:
        axes = files.setdefault(path.name, [])

        def watched(panel: Panel) -> Panel:
            def draw(own: Any) -> None:
                panel.draw(own)
                axes.append(own)

            return Panel(title=panel.title, draw=draw, how=panel.how, height=panel.height, wide=panel.wide)

        return real([watched(panel) for panel in panels], path, **options)

    monkeypatch.setattr(pictures, "save_png", watch)

    def draw(*trials: Trial, base: str | None = None) -> dict[str, list[Any]]:
        assert draw_results(rows_of(trials), trials, tmp_path, base)
        return files

    return draw


def test_the_frontier_shows_the_ends_of_runs_and_names_every_point_once(drawn):
    names = [f"point {number}" for number in range(9)]
    panels = drawn(*(trial(name, seed, 1 + i / 10, 1 + i) for i, name in enumerate(names) for seed in (0, 1)))[
        "frontier.png"
    ]
    assert [axes.get_xlabel() for axes in panels] == [
        "minutes of training (logarithmic)",
        "training FLOPs (logarithmic)",
    ]
    legends = [axes.get_legend() for axes in panels]
    assert legends[0] is None
    shown = [text.get_text() for text in legends[1].get_texts()]
    assert sorted(shown) == sorted([*names[:6], "3 other points", "lowest at each cost"])
    ends = {tuple(point) for line in panels[0].get_lines()[1:] for point in line.get_xydata().tolist()}
    assert ends == {(1.0 + i, 1 + i / 10) for i in range(9)}


def test_the_rows_of_points_lie_inside_the_frame_with_the_base_and_intervals(drawn):
    trials = [trial(name, seed, 1 + i / 10 + seed / 1000, 2.0) for i, name in enumerate("abc") for seed in range(3)]
    axes = drawn(*trials, base="b")["points.png"][0]
    bottom, top = axes.get_ylim()
    assert bottom >= 2.5
    assert top <= -0.5
    labels = [str(line.get_label()) for line in axes.get_lines()]
    assert "b: the unchanged recipe" in labels
    assert sum(len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2 for line in axes.get_lines()) == 2
