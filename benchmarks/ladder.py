"""Fit the scaling law of bits per byte to finished runs, and report how well it predicts runs left out.

python -m benchmarks.ladder [RUN...] [--write] [--picture FILE.png]

The points are those of `ladder_points.json` and of each run folder: parameters, bytes of stories trained on (repeated
text counts less, see `effective_size`), and bits per byte at the end of the schedule. At least three sizes with two
budgets each are needed. The irreducible loss E is given, not fitted: only large published models determine it
(docs/LOG.md). Published models are printed beside the law's predictions but not fitted, because they were trained in
other ways; nor is the storyx ladder, which learns more per byte. The picture shows all. Earlier runs had other stories
or another recipe: one factor for each such kind is fitted too. Intervals are from 1,000 bootstrap samples of the
points. --write stores the constants in the package, where `talewright plan` reads them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.model.cost import count_parameters
from talewright.run.log import read_log
from talewright.scaling.law import Law, effective_size

LADDER = Path(__file__).parents[1] / "src" / "talewright" / "scaling" / "ladder.json"
POINTS = Path(__file__).with_name("ladder_points.json")
IRREDUCIBLE = 0.3
"""E, in bits per byte: models of up to 124M parameters have 0.29 to 0.31 (docs/LOG.md)."""
EXPONENTS = np.linspace(0.02, 0.8, 79)
"""Hoffmann et al. find 0.34 and 0.28."""
EARLIER = ("train.txt alone", "beta2 0.95")
"""Kinds of runs made before the stories or the recipe were what they are."""
ROUNDS = 40
"""In which the law and the factors of earlier runs are fitted in turn."""
SAMPLES = 1000
PUBLISHED = "published, on GPUs"
BYTES_PER_TOKEN = 3.97
"""Of TinyStories, with 4,096 tokens."""


class Point(NamedTuple):
    """A finished run."""

    run: str
    parameters: int
    story_bytes: float
    """Bytes of stories without repetition that teach as much."""
    bits_per_byte: float
    kind: str = "own"
    """Earlier kinds of runs were trained on other stories or in another way than those that the law is for."""


def read_point(run: Path) -> Point:
    """The point of a finished run. Raises UserError if its log is incomplete."""
    events = list(read_log(run / "log.jsonl"))
    begun = next((event for event in events if event.get("event") == "run"), None)
    scores = [event for event in events if event.get("event") == "evaluation"]
    trained = [event for event in events if event.get("event") == "step"]
    if begun is None or not scores or not trained:
        raise UserError(f"{run} is not a finished run: its log lacks the start, a step or an evaluation")
    data = begun["data"]
    parameters = count_parameters(load_recipe(run / "recipe.yaml").model).dense
    seen = effective_bytes(trained[-1]["tokens"] * data["bytes"] / data["tokens"], data["bytes"])
    return Point(str(run), parameters, seen, scores[-1]["bits_per_byte"])


def known_points() -> dict[str, list[Point]]:
    """The points of `ladder_points.json`, by kind."""
    values = json.loads(POINTS.read_text(encoding="utf-8"))
    return {
        kind: [
            Point(
                point["run"],
                point["parameters"],
                effective_bytes(1e6 * point["megabytes"], 1e6 * point.get("text_megabytes", math.inf)),
                point["bits_per_byte"],
                kind,
            )
            for point in values[kind]
        ]
        for kind in values
    }


def effective_bytes(seen: float, text: float) -> float:
    """Bytes without repetition that teach as much as `seen` bytes read from a text of that size."""
    return seen if seen <= text else effective_size(text, seen / text)


def fit(points: Sequence[Point]) -> tuple[Law, dict[str, float]]:
    """The law of least squared error, and by which factor each earlier kind of runs differs from today's."""
    factors = {point.kind: 1.0 for point in points if point.kind in EARLIER}
    for _ in range(ROUNDS if factors else 0):
        law = _best(scale(points, factors), EXPONENTS, EXPONENTS, IRREDUCIBLE)
        for kind in factors:
            members = [point for point in points if point.kind == kind]
            factors[kind] = float(np.exp(np.mean(np.log1p(errors(law, members)))))
    return fit_law(scale(points, factors)), factors


def scale(points: Sequence[Point], factors: Mapping[str, float]) -> list[Point]:
    """The points, with the bits per byte of earlier kinds as they would be today."""
    return [point._replace(bits_per_byte=point.bits_per_byte * factors.get(point.kind, 1.0)) for point in points]


def fit_law(points: Sequence[Point], irreducible: float = IRREDUCIBLE) -> Law:
    """The law of least squared error of log L: for each pair of exponents A and B follow, 0 or more.

    Errors of log L are, while small, those of L divided by it; so each point is weighted by 1 / L. A second, finer
    round looks around the best pair.
    """
    best = _best(points, EXPONENTS, EXPONENTS, irreducible)
    step = EXPONENTS[1] - EXPONENTS[0]
    around = np.linspace(-step, step, 21)
    return _best(points, np.maximum(1e-3, best.alpha + around), np.maximum(1e-3, best.beta + around), irreducible)


def _best(points: Sequence[Point], alphas: np.ndarray, betas: np.ndarray, irreducible: float) -> Law:
    n, d, loss = (np.array(values, dtype=float) for values in zip(*(point[1:4] for point in points), strict=True))
    x = (n / n.min()) ** -alphas[:, None] / loss  # (alphas, points)
    y = (d / d.min()) ** -betas[:, None] / loss
    rest = 1 - irreducible / loss
    xx, yy, xy = (x * x).sum(1)[:, None], (y * y).sum(1), x @ y.T
    xr, yr = (x @ rest)[:, None], y @ rest
    determinant = np.maximum(xx * yy - xy**2, 1e-12)
    a, b = (xr * yy - yr * xy) / determinant, (yr * xx - xr * xy) / determinant
    a, b = np.where(b < 0, np.maximum(0, xr / xx), a), np.where(a < 0, np.maximum(0, yr / yy), b)
    a, b = np.maximum(a, 0), np.maximum(b, 0)
    predicted = irreducible + loss * (a[..., None] * x[:, None] + b[..., None] * y[None])
    error = np.square(np.log(predicted / loss)).sum(-1)
    i, j = np.unravel_index(error.argmin(), error.shape)
    alpha, beta = float(alphas[i]), float(betas[j])
    return Law(irreducible, float(a[i, j] * n.min() ** alpha), alpha, float(b[i, j] * d.min() ** beta), beta)


def errors(law: Law, points: Sequence[Point]) -> list[float]:
    """The relative error of the law at each point."""
    return [law(point.parameters, point.story_bytes) / point.bits_per_byte - 1 for point in points]


def forecasts(points: Sequence[Point]) -> list[tuple[Point, float]]:
    """For each run that is not an earlier one, the error of a law fitted without it."""
    found = []
    for point in points:
        if point.kind not in EARLIER:
            law, _ = fit([each for each in points if each != point])
            found.append((point, errors(law, [point])[0]))
    return found


def intervals(points: Sequence[Point], asked: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The 95 % intervals of the law's bits per byte at these (parameters, bytes), by the bootstrap."""
    draw, found = np.random.default_rng(0), []
    while len(found) < SAMPLES:
        sample = [points[i] for i in draw.integers(len(points), size=len(points))]
        if len({point.parameters for point in sample}) > 1:
            law = _best(sample, EXPONENTS, EXPONENTS, IRREDUCIBLE)
            found.append([law(*each) for each in asked])
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def check(points: Sequence[Point]) -> None:
    """Raise UserError if there are too few points to fit four constants."""
    sizes, budgets = {point.parameters for point in points}, {round(math.log2(point.story_bytes)) for point in points}
    if len(points) < 6 or len(sizes) < 3 or len(budgets) < 2:
        raise UserError(
            f"{len(points)} runs of {len(sizes)} sizes are too few: a law of four constants needs six runs or more, of "
            "three sizes and two budgets at least"
        )


def draw(points: Mapping[str, Sequence[Point]], law: Law, file: Path) -> None:
    """Bits per byte by training FLOPs: the points of each label, and the law's best over all sizes."""
    import matplotlib.pyplot as plt

    def flops(parameters: float, story_bytes: float) -> float:
        return 6 * parameters * story_bytes / BYTES_PER_TOKEN

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for (label, some), style in zip(points.items(), "oDs", strict=True):
        axes.plot([flops(*p[1:3]) for p in some], [p.bits_per_byte for p in some], style, label=label)
    for number, point in enumerate(points[PUBLISHED]):
        place, offset, side = (flops(*point[1:3]), point.bits_per_byte), (6, 4), "left"
        if number == 0:  # below the curve
            offset, side = (-6, -12), "right"
        axes.annotate(point.run, place, offset, textcoords="offset points", fontsize=8, ha=side)
    budgets, sizes = np.geomspace(1e13, 1e18, 60), np.geomspace(2e5, 2e8, 200)
    best = [min(law(size, budget / 6 / size * BYTES_PER_TOKEN) for size in sizes) for budget in budgets]
    axes.plot(budgets, best, label="the law, best size, no repetition")
    axes.set(
        xscale="log", xlabel="training FLOPs (6 x parameters x tokens)", ylabel="bits per byte, validation stories"
    )
    axes.legend()
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="put the constants into the package")
    parser.add_argument("--picture", type=Path, help="draw the points and the law")
    options = parser.parse_args()
    known = known_points()
    points = [point for kind in (*EARLIER, "own") for point in known[kind]] + [read_point(run) for run in options.runs]
    others = known["storyx"] + known["published"]
    check(points)
    law, factors = fit(points)
    for kind, factor in factors.items():
        print(f"runs with {kind} times {factor:.4f}")
    print(f"L(N, D) = {law.E:.4f} + {law.A:.4g} / N^{law.alpha:.4f} + {law.B:.4g} / D^{law.beta:.4f} bits per byte")
    for point, error in zip(points + others, errors(law, scale(points, factors) + others), strict=True):
        print(
            f"{point.parameters:>12,} parameters  {point.story_bytes / 1e6:>9,.2f} MB  {point.bits_per_byte:.4f} "
            f"bits/byte  error {100 * error:+.2f} %  {point.run}"
        )
    for point, error in forecasts(points):
        print(f"forecast of a law without it: error {100 * error:+.2f} %  {point.run}")
    asked = [(1.09e6, 3e7), (2.7e6, 6e7), (5.07e6, 1.5e8), (5.07e6, 1e9), (2.3e7, 1.3e9)]
    for (size, story_bytes), (low, high) in zip(asked, intervals(scale(points, factors), asked), strict=True):
        print(f"{size / 1e6:.2f}M, {story_bytes / 1e6:,.0f} MB: {law(size, story_bytes):.3f} ({low:.3f} to {high:.3f})")
    if options.picture:
        labels = {
            "story, two CPU cores": points,
            "storyx, two CPU cores": known["storyx"],
            PUBLISHED: known["published"],
        }
        draw(labels, law, options.picture)
    if options.write:
        sizes = [point.parameters for point in points]
        facts = {"law": dataclasses.asdict(law), "runs": len(points), "parameters": [min(sizes), max(sizes)]}
        LADDER.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        print(f"written to {LADDER}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"ladder: {error}") from None
