"""Timing rivals side by side: in turn, in one process, so that a machine whose speed drifts is fair to all."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping


def alternate(rivals: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict[str, float]:
    """Median seconds of a call of each rival, called in turn `rounds` times after the warm-up."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(warm_up + rounds):
        for name, call in rivals.items():
            start = time.perf_counter()
            call()
            if number >= warm_up:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def report(medians: Mapping[str, float], tokens: int, flops: float, peak: float, as_json: bool) -> None:
    """Print tokens a second, share of the matrix-product peak, and how many times as fast the first one is."""
    ours = next(iter(medians.values()))
    rows = {
        name: {
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "percent_of_peak": 100 * tokens * flops / seconds / peak,
            "first_is_times_as_fast": seconds / ours,
        }
        for name, seconds in medians.items()
    }
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print("| | ms a step | tokens/s | of peak | first is faster by |\n|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {1000 * row['seconds']:,.0f} | {row['tokens_per_second']:,.0f} | "
            f"{row['percent_of_peak']:.0f} % | {row['first_is_times_as_fast']:.2f} |"
        )
