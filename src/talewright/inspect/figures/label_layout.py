"""Which points of a map have a label, and on which side of the point, so that no two labels collide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

LABEL_SIZE = 12
"""Pixels."""
MAP_HEIGHT = 420
"""Pixels of the whole chart."""
WIDTHS = (280, 340, 420, 520, 640, 800, 1040)
"""Widths of the area of the points, in pixels, at which no labels collide: those of phones and of screens."""
HEIGHT = 330
"""Of this area, at most: the rest is the axis and the legend, whose lines are more on a phone."""
MARGIN = 0.12
"""Share of the range of the points that is left free at each end."""
CHARACTER = 7.0
"""Pixels of a character, on the wide side."""
SIDES: dict[str, dict[str, Any]] = {
    "right": {"align": "left", "baseline": "middle", "dx": 6},
    "left": {"align": "right", "baseline": "middle", "dx": -6},
    "above": {"align": "center", "baseline": "middle", "dy": -11},
    "below": {"align": "center", "baseline": "middle", "dy": 11},
}
"""By side, the text mark's options in Vega-Lite."""


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def map_bounds(values: np.ndarray) -> list[float]:
    """The ends of an axis that shows these values with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low or 1.0)
    return [low - margin, high + margin]


def place_labels(words: Sequence[str], points: np.ndarray) -> list[str | None]:
    """The side of each point's label, at points (N, 2) of a map that is wide as any of WIDTHS; None where there is no
    space. The first words are placed first. A label covers no other point.
    """
    maps = [_pixels(points, width) for width in WIDTHS]
    dots = [[Box(x - 3, x + 3, y - 3, y + 3) for x, y in pixels] for pixels in maps]
    placed: list[list[Box]] = [[] for _ in WIDTHS]
    sides: list[str | None] = []
    for i, word in enumerate(words):
        side, boxes = next(_free(word, i, maps, dots, placed), (None, []))
        sides.append(side)
        for taken, box in zip(placed, boxes, strict=bool(boxes)):
            taken.append(box)
    return sides


def _free(
    word: str, i: int, maps: Sequence[np.ndarray], dots: Sequence[list[Box]], placed: Sequence[list[Box]]
) -> Iterator[tuple[str, list[Box]]]:
    """The sides where the label of point i has space at every width, and its boxes there."""
    for side in SIDES:
        boxes = [label_box(word, pixels[i], side) for pixels in maps]
        if not any(
            _meets_any(box, taken)
            or _meets_any(box, points[:i] + points[i + 1 :])
            or not 0 <= box.left <= box.right <= width
            for box, taken, points, width in zip(boxes, placed, dots, WIDTHS, strict=True)
        ):
            yield side, boxes


def label_box(word: str, pixel: Sequence[float] | np.ndarray, side: str) -> Box:
    """Where the label of a point at this pixel is."""
    x, y = float(pixel[0]), float(pixel[1])
    width, half = CHARACTER * len(word), LABEL_SIZE / 2 + 1
    if side in ("right", "left"):
        left = x + 6 if side == "right" else x - 6 - width
        return Box(left, left + width, y - half, y + half)
    y += 11 if side == "below" else -11
    return Box(x - width / 2, x + width / 2, y - half, y + half)


def _meets_any(box: Box, others: Iterable[Box]) -> bool:
    return any(box.meets(other) for other in others)


def _pixels(points: np.ndarray, width: float) -> np.ndarray:
    """The points (N, 2) in an area of this width, in pixels."""
    (left, right), (low, high) = map_bounds(points[:, 0]), map_bounds(points[:, 1])
    return np.stack([(points[:, 0] - left) / (right - left) * width, (high - points[:, 1]) / (high - low) * HEIGHT], 1)
