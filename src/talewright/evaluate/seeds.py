"""Several seeds of one recipe: the interval of their mean, and the difference between two recipes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""The 97.5 % quantiles of Student's t distribution with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True)
class Difference:
    """How much larger one mean is than another."""

    mean: float
    low: float | None
    high: float | None
    """The 95 % interval; None where a single seed gives none."""

    @property
    def tied(self) -> bool:
        """Whether the interval says that there may be no difference."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


def t_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t distribution with at least this many degrees of freedom, within 0.01.

    From 16 on, by the expansion of Cornish & Fisher (Abramowitz & Stegun 1964, 26.7.5).
    """
    if degrees < len(T_QUANTILES) + 1:
        return T_QUANTILES[max(1, math.floor(degrees)) - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """The mean of `second` minus that of `first`, each by seed.

    Two seeds or more in common are compared pairwise (Student's paired t test), and others left out; otherwise the
    interval is Welch's (1947), which needs two seeds of each.
    """
    shared = sorted(first.keys() & second.keys())
    if len(shared) > 1:
        pairs = [second[seed] - first[seed] for seed in shared]
        return _interval(statistics.fmean(pairs), _variance_of_mean(pairs), len(pairs) - 1)
    ours, theirs = list(first.values()), list(second.values())
    mean = statistics.fmean(theirs) - statistics.fmean(ours)
    if min(len(ours), len(theirs)) < 2:
        return Difference(mean, None, None)
    parts = [(_variance_of_mean(values), len(values) - 1) for values in (ours, theirs)]
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / degrees for part, degrees in parts)
    return _interval(mean, variance, variance**2 / spread if spread else min(degrees for _, degrees in parts))


def half_width(values: list[float]) -> float | None:
    """Half the 95 % interval of a mean; None for a single value."""
    return t_quantile(len(values) - 1) * math.sqrt(_variance_of_mean(values)) if len(values) > 1 else None


def _interval(mean: float, variance: float, degrees: float) -> Difference:
    half = t_quantile(degrees) * math.sqrt(variance)
    return Difference(mean, mean - half, mean + half)


def _variance_of_mean(values: list[float]) -> float:
    return statistics.variance(values) / len(values)
