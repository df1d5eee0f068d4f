"""The command `doctor bench`."""

import math
from typing import Any, Literal

from tyro.conf import Positional

from talewright.cli.common import Json, Overrides, to_json
from talewright.cli.words import show
from talewright.config import load_recipe
from talewright.errors import UserError


def doctor_bench(
    overrides: Overrides,
    what: Positional[Literal["machine", "train", "generate"]] = "machine",
    recipe: str = "mini-2m",
    seconds: float = 10.0,
    batch: int = 1,
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: Json = False,
) -> None:
    """Measure this machine: its matrix products, or how fast it trains a recipe or generates with it.

    Args:
        what: machine shows the fastest matrix products seen here, in each precision; train and generate measure a
            recipe on random tokens.
        recipe: A recipe's name, or a YAML file.
        seconds: How long to measure, after the warmup.
        batch: With generate: number of stories in a batch.
        precision: With generate: precision of the weights.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"--seconds is {seconds}; it must be above 0, and finite")
    if batch < 1:
        raise UserError(f"--batch is {batch}; it must be 1 or more")
    chosen = load_recipe(recipe, overrides)
    if what == "machine":
        from talewright.machine.peak import known_peaks

        figures: dict[str, Any] = {"peak_flops_per_second": known_peaks()}
    elif what == "train":
        from talewright.train.benchmark import bench_training

        figures = bench_training(chosen, seconds)
    else:
        from talewright.generate.benchmark import bench_generation

        figures = bench_generation(chosen, seconds, batch, precision)
    show(to_json(figures) if json else bench_page(figures))


def bench_page(figures: dict[str, Any]) -> str:
    """Measured figures as lines of text."""
    peak = figures["peak_flops_per_second"]
    if isinstance(peak, dict):
        return "\n".join(f"matrix products in {name}: {rate / 1e9:,.0f} GFLOP/s" for name, rate in peak.items())
    return (
        f"{figures['tokens_per_second']:,.0f} tokens/s · {figures['flops_per_second'] / 1e9:,.1f} GFLOP/s, "
        f"{figures['percent_of_peak']:.1f} % of the {peak / 1e9:,.0f} of matrix products in "
        f"{figures['peak_precision']}\n"
        f"peak memory: {figures['peak_memory_bytes'] / 2**20:,.0f} MiB"
    )
