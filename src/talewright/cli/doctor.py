"""Commands that ask the machine: how fast it is, and what it has."""

from __future__ import annotations

from typing import Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, settings
from talewright.config import load_recipe
from talewright.errors import UserError


def bench(
    what: Positional[Literal["machine", "train", "generate"]] = "machine",
    recipe: str = "mini-2m",
    seconds: float = 10.0,
    batch: int = 1,
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Measure this machine: its matrix products, or how fast a recipe trains or tells here.

    Args:
        what: machine measures matrix products in each precision; train and generate a recipe, with random tokens.
        recipe: A recipe's name, or a YAML file.
        seconds: How long to measure, after the warm-up.
        batch: With generate: stories told side by side.
        precision: With generate: of the weights.
        json: Print JSON.
    """
    if seconds <= 0 or batch < 1:
        raise UserError(f"--seconds is {seconds} and --batch {batch}; both are above 0")
    chosen = load_recipe(recipe, settings)
    from talewright.cli.tables import bench_page

    if what == "machine":
        from talewright.machine.peak import machine_peaks

        found: dict[str, Any] = {"peak_flops_per_second": machine_peaks()}
    elif what == "train":
        from talewright.train.benchmark import bench_training

        found = bench_training(chosen, seconds)
    else:
        from talewright.generate.benchmark import bench_generation

        found = bench_generation(chosen, seconds, batch, precision)
    print(dump(found) if json else bench_page(found))


def doctor(json: FlagCreatePairsOff[bool] = False) -> None:
    """Say what this machine has, and what a run will use of it.

    Args:
        json: Print JSON.
    """
    from talewright.cli.tables import doctor_page
    from talewright.machine.facts import machine_facts

    found = machine_facts()
    print(dump(found) if json else doctor_page(found))
