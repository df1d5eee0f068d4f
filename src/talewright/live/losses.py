"""Training losses as a line of a few points, however long the run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

MOST = 800
"""Points of a line: more do not show at the width of a page."""


@dataclass
class _Bin:
    """Steps in a row: the sums of their numbers and of their losses."""

    steps: int
    losses: float
    count: int = 1

    def add(self, other: _Bin) -> None:
        self.steps, self.losses, self.count = (
            self.steps + other.steps,
            self.losses + other.losses,
            self.count + other.count,
        )


class LossLine:
    """The losses of a run's steps, averaged in at most MOST bins of equally many steps. Its memory does not grow."""

    def __init__(self) -> None:
        self._bins: list[_Bin] = []
        self._width = 1

    def add(self, step: int, loss: float) -> None:
        """Add the loss of a step that follows those before."""
        new = _Bin(step, loss)
        if self._bins and self._bins[-1].count < self._width:
            self._bins[-1].add(new)
            return
        if len(self._bins) == MOST:
            for left, right in zip(self._bins[::2], self._bins[1::2], strict=True):
                left.add(right)
            self._bins, self._width = self._bins[::2], 2 * self._width
        self._bins.append(new)

    def smoothed(self) -> list[tuple[int, float]]:
        """(step, loss) pairs, each loss the mean over 2 % of the run around it; near the ends, over as many steps as
        there are on both sides.
        """
        bins, n = self._bins, len(self._bins)
        sums = [0.0, *accumulate(each.losses for each in bins)]
        counts = [0, *accumulate(each.count for each in bins)]
        points = []
        for i, each in enumerate(bins):
            side = min(n // 100, i, n - 1 - i)
            first, end = i - side, i + side + 1
            loss = (sums[end] - sums[first]) / (counts[end] - counts[first])
            points.append((round(each.steps / each.count), loss))
        return points
