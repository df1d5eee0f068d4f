"""Labels of the word map: no two collide, and none covers another point, at any of the widths."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.inspect.figures.label_layout import HEIGHT, MARGIN, WIDTHS, place_labels

WORDS = ["the", "a", "girl", "Lily", "something", "their", "them", "in", "wanted", "She"]


def pixel(points: np.ndarray, i: int, width: int) -> tuple[float, float]:
    low, high = points.min(0), points.max(0)
    share = (points[i] - low + MARGIN * (high - low)) / ((1 + 2 * MARGIN) * (high - low))
    return share[0] * width, (1 - share[1]) * HEIGHT


def rectangle(x: float, y: float, side: str, word: str) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the letters: 6.5 pixels each, 12 high."""
    width = 6.5 * len(word)
    left = {"right": x + 6, "left": x - 6 - width}.get(side, x - width / 2)
    middle = y + {"above": -11, "below": 11}.get(side, 0)
    return left, middle - 6, left + width, middle + 6


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), number=st.integers(2, 64), spread=st.floats(0.2, 3))
def test_no_label_meets_another_or_a_point(seed: int, number: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(size=(number // 2, 2)), spread * rng.normal(size=(number - number // 2, 2))])
    words = [WORDS[i % len(WORDS)] for i in range(number)]
    sides = place_labels(words, points)
    assert any(sides) or number > 20
    labeled = [(i, side) for i, side in enumerate(sides) if side]
    for width in WIDTHS:
        boxes = {i: rectangle(*pixel(points, i, width), side, words[i]) for i, side in labeled}
        for i, box in boxes.items():
            assert 0 <= box[0] < box[2] <= width
            for j in range(number):
                x, y = pixel(points, j, width)
                assert i == j or not overlap(box, (x - 2, y - 2, x + 2, y + 2))
                assert j <= i or j not in boxes or not overlap(box, boxes[j])


def test_points_far_apart_all_have_labels() -> None:
    points = np.stack(np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]), -1).reshape(-1, 2)
    assert all(place_labels(["word"] * 9, points))
