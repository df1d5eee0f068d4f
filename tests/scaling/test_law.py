"""The scaling law: fitted to runs, and as it is packaged."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from benchmarks.ladder import EARLIER, LADDER, Point, check, errors, fit, forecasts, read_point, scale

from talewright.errors import UserError
from talewright.scaling.law import Law, best_batch, best_learning_rate, fitted_law

TRUE = Law(0.3, 40.0, 0.35, 300.0, 0.4)


def points(noise: float, law: Law = TRUE) -> list[Point]:
    draw = np.random.default_rng(0)
    grid = itertools.product([1e6, 5e6, 1.5e7, 4e7], [3e6, 3e7, 3e8])
    return [Point("", int(n), d, law(n, d) * math.exp(noise * draw.standard_normal())) for n, d in grid]


def test_the_fit_finds_the_law_that_made_the_points():
    law, factors = fit(points(0.0))
    assert factors == {}
    assert max(map(abs, errors(law, points(0.0)))) < 1e-3
    noisy, _ = fit(points(0.01))
    assert max(map(abs, errors(noisy, points(0.0)))) < 0.03


def test_the_fit_finds_the_factors_of_earlier_kinds_of_runs():
    kinds = ["own", *EARLIER]
    mixed = [point._replace(kind=kinds[i % 3]) for i, point in enumerate(points(0.0))]
    made = dict(zip(EARLIER, (0.95, 1.04), strict=True))
    law, factors = fit(scale(mixed, {kind: 1 / factor for kind, factor in made.items()}))
    assert factors == pytest.approx(made, abs=0.005)
    assert max(map(abs, errors(law, points(0.0)))) < 0.01


def test_a_run_left_out_is_predicted_from_the_others():
    few = points(0.0)[:6]
    assert max(abs(error) for _, error in forecasts(few)) < 0.02
    strange = [few[0]._replace(bits_per_byte=2 * few[0].bits_per_byte), *few[1:]]
    assert abs(forecasts(strange)[0][1]) > 0.3
    assert [point for point, _ in forecasts([few[0]._replace(kind=EARLIER[0]), *few[1:]])] == few[1:]


def test_too_few_runs_are_refused(tmp_path):
    with pytest.raises(UserError, match="3 runs of 1 sizes are too few"):
        check(points(0.0)[:3])
    with pytest.raises(UserError, match="not a finished run"):
        read_point(tmp_path)


def test_the_packaged_law_falls_with_size_and_stories():
    law = fitted_law()
    sizes, stories = np.geomspace(1e6, 1.3e8, 9), np.geomspace(1e6, 1e10, 9)
    for n, d in itertools.product(sizes, stories):
        assert 0.2 < law(n, d) < 8
        assert law(2 * n, d) <= law(n, d)
        assert law(n, 2 * d) < law(n, d)


def test_the_benchmark_writes_the_constants_where_the_package_reads_them():
    assert Law(**json.loads(LADDER.read_text(encoding="utf-8"))["law"]) == fitted_law()


def test_longer_runs_take_larger_batches_and_smaller_learning_rates():
    flops = np.geomspace(1e12, 1e18, 7)
    assert (np.diff([best_batch(each) for each in flops]) > 0).all()
    assert (np.diff([best_learning_rate(each) for each in flops]) < 0).all()
    assert best_learning_rate(1e13) == pytest.approx(0.2 * 10 ** (-13 / 8))
