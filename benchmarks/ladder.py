"""Fits the law of bits per byte by size and stories to finished runs, and says how well it does on a size left out.

python -m benchmarks.ladder RUN... [--write]

Of each run folder it takes the parameters, the bytes of stories trained on, and bits per byte at the end; a run must
have come to the end of its schedule. At least three sizes, of two budgets each, are wanted. With --write the constants
go into the package, where `talewright plan` reads them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.model.cost import count_parameters
from talewright.run.log import read_log
from talewright.scaling.law import Law

LADDER = Path(__file__).parents[1] / "src" / "talewright" / "scaling" / "ladder.json"
EXPONENTS = np.linspace(0.05, 0.5, 46)
"""Hoffmann et al. find 0.34 and 0.28. A few small runs cannot tell larger ones from noise, and would be believed."""


class Point(NamedTuple):
    """A finished run."""

    run: str
    parameters: int
    story_bytes: float
    bits_per_byte: float


def read_point(run: Path) -> Point:
    """What a run came to. Raises UserError where its log does not say."""
    events = list(read_log(run / "log.jsonl"))
    begun = next((event for event in events if event.get("event") == "run"), None)
    scores = [event for event in events if event.get("event") == "evaluation"]
    trained = [event for event in events if event.get("event") == "step"]
    if begun is None or not scores or not trained:
        raise UserError(f"{run} is no finished run: its log has no beginning, no step or no evaluation")
    data = begun["data"]
    story_bytes = trained[-1]["tokens"] * data["bytes"] / data["tokens"]
    parameters = count_parameters(load_recipe(run / "recipe.yaml").model).total
    return Point(str(run), parameters, story_bytes, scores[-1]["bits_per_byte"])


def fit(points: Sequence[Point]) -> Law:
    """The law of least squared error of log L: for each pair of exponents the rest is linear, and 0 or more.

    Errors of log L are, while small, those of L divided by it; so each point is weighted by 1 / L. A second, finer
    round looks around the best pair.
    """
    best = _best(points, EXPONENTS, EXPONENTS)
    step = EXPONENTS[1] - EXPONENTS[0]
    around = np.linspace(-step, step, 41)
    return _best(points, np.maximum(1e-3, best.alpha + around), np.maximum(1e-3, best.beta + around))


def _best(points: Sequence[Point], alphas: np.ndarray, betas: np.ndarray) -> Law:
    n, d, loss = (np.array(values, dtype=float) for values in zip(*(point[1:] for point in points), strict=True))
    best, least = None, math.inf
    for alpha, beta in itertools.product(alphas, betas):
        terms = np.stack([np.ones_like(n), (n / n.min()) ** -alpha, (d / d.min()) ** -beta], 1)  # (points, 3)
        found = _not_negative(terms / loss[:, None])
        error = float(np.square(np.log(terms @ found) - np.log(loss)).sum()) if (terms @ found > 0).all() else math.inf
        if error < least:
            least = error
            scaled = found * [1, n.min() ** alpha, d.min() ** beta]
            best = Law(float(scaled[0]), float(scaled[1]), float(alpha), float(scaled[2]), float(beta))
    if best is None:
        raise UserError("no law fits these runs")
    return best


def _not_negative(terms: np.ndarray) -> np.ndarray:
    """The coefficients, none below 0, that bring terms @ coefficients nearest to 1: the best of all subsets of them."""
    best, least = np.zeros(terms.shape[1]), math.inf
    columns = range(terms.shape[1])
    for chosen in itertools.chain.from_iterable(itertools.combinations(columns, size) for size in (3, 2, 1)):
        part, *_ = np.linalg.lstsq(terms[:, chosen], np.ones(len(terms)), rcond=None)
        error = float(np.square(terms[:, chosen] @ part - 1).sum())
        if (part >= 0).all() and error < least:
            least, best = error, np.zeros(terms.shape[1])
            best[list(chosen)] = part
            if len(chosen) == len(columns):  # a part of them is never better
                break
    return best


def errors(law: Law, points: Sequence[Point]) -> list[float]:
    """By how much of itself each point's bits per byte is missed."""
    return [law(point.parameters, point.story_bytes) / point.bits_per_byte - 1 for point in points]


def left_out(points: Sequence[Point]) -> dict[int, list[float]]:
    """By size: the errors on its runs of a law that has not seen that size."""
    sizes = sorted({point.parameters for point in points})
    return {
        size: errors(
            fit([point for point in points if point.parameters != size]),
            [point for point in points if point.parameters == size],
        )
        for size in sizes
    }


def check(points: Sequence[Point]) -> None:
    """Raise UserError where there is too little to fit five constants to."""
    sizes, budgets = {point.parameters for point in points}, {round(math.log2(point.story_bytes)) for point in points}
    if len(points) < 6 or len(sizes) < 3 or len(budgets) < 2:
        raise UserError(
            f"{len(points)} runs of {len(sizes)} sizes are too few: a law of five constants wants six runs or more, of "
            "three sizes and two budgets at least"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="put the constants into the package")
    options = parser.parse_args()
    points = [read_point(run) for run in options.runs]
    check(points)
    law = fit(points)
    print(f"L(N, D) = {law.E:.4f} + {law.A:.4g} / N^{law.alpha:.4f} + {law.B:.4g} / D^{law.beta:.4f} bits per byte")
    for point, error in zip(points, errors(law, points), strict=True):
        print(
            f"{point.parameters:>12,} parameters  {point.story_bytes / 1e6:>9,.2f} MB  {point.bits_per_byte:.4f} "
            f"bits/byte  missed by {100 * error:+.2f} %  {point.run}"
        )
    for size, missed in left_out(points).items():
        print(f"without {size:,}: its runs are missed by {', '.join(f'{100 * each:+.2f} %' for each in missed)}")
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
