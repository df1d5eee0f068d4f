from __future__ import annotations

import math

from talewright.scaling.sweep.pictures import frontier


def test_the_frontier_holds_what_no_other_point_beats():
    xs, ys = [1.0, 2.0, 2.0, 3.0, 4.0, 0.0], [3.0, 2.0, 2.5, 2.2, 1.0, 0.1]
    assert frontier(xs, ys) == [(1.0, 3.0), (2.0, 2.0), (4.0, 1.0)]  # an evaluation before training costs nothing
    assert math.inf not in [y for _, y in frontier(xs, ys)]
