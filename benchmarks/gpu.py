"""How fast one GPU trains and generates: the four recipes, and the ladder of sizes. `make bench-gpu` runs it.

    python -m benchmarks.gpu                    all recipes, in under four minutes
    python -m benchmarks.gpu --full             gpt2-124m from its first step to its last
    python -m benchmarks.gpu --full --tinystories FOLDER --gpt2 FOLDER
    python -m benchmarks.gpu --device cpu       small stand-ins of the models, to try this program

Writes bench-gpu.json and bench-gpu.md (with --full: train-gpu.json and train-gpu.md). A part that its time limit cuts,
or for which no time is left, says so in its row. Batches are those of the recipes, in the largest micro-batches that
are estimated to fit; gpt2-124m is also measured at a large batch, because its own leaves a large GPU waiting.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu_report import cell, machine, table, write_report

from talewright.config import Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from talewright.errors import UserError
from talewright.generate.benchmark import bench_generation
from talewright.machine import default_device, device_name
from talewright.train.benchmark import bench_training
from talewright.train.memory import MemoryNeed

FOUR = ("gpt2-124m", "sinusoidal-45m", "mini-2m", "neo-41m")
LADDER = ("story-300k", "story-1m", "story-3m", "story-5m", "story-15m", "story-40m", "story-125m")
MOST_SECONDS = 225.0
"""Of all parts together."""
TRAINING_SECONDS, GENERATION_SECONDS = 3.0, 1.0
"""How long each is measured, after it has warmed up."""
PART_SECONDS = 75.0
"""Of one part, compiling included."""
LEAST_SECONDS = 5.0
"""A part that has less time left does not begin."""
LARGE_BATCH = 512
"""Windows of 128 tokens: 65,536 tokens in a step."""
DATA_SHEET = {
    r"H100 PCIe": {"bf16": 756e12, "fp16": 756e12},
    r"H100 NVL": {"bf16": 835e12, "fp16": 835e12},
    r"H[12]00": {"bf16": 989e12, "fp16": 989e12},
    r"A100": {"bf16": 312e12, "fp16": 312e12},
    r"RTX 4090\b(?! D)": {"bf16": 165e12, "fp16": 165e12},
    r"\bL4\b": {"bf16": 121e12, "fp16": 121e12},
    r"\bT4\b": {"fp16": 65e12},
}
"""FLOP/s of dense matrix products that sum in float32, from NVIDIA's data sheets, by a part of the card's name."""


class TimeIsUpError(BaseException):
    """The time limit of a part. Not an Exception, so that nothing that falls back on errors catches it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One row of the result: what identifies it, and how its figures are measured."""

    labels: dict[str, Any]
    measure: Callable[[], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of all parts together, at most")
    parser.add_argument("--full", action="store_true", help="train gpt2-124m in full")
    parser.add_argument("--tinystories", type=Path, help="with --full: folder with train.txt and valid.txt")
    parser.add_argument("--gpt2", type=Path, help="with --full: folder with GPT-2's vocab.json and merges.txt")
    options = parser.parse_args()
    device = default_device()
    if device.type != options.device:
        hide = ", or hide the GPU by CUDA_VISIBLE_DEVICES=" if options.device == "cpu" else "; --device cpu tries this"
        sys.exit(f"torch computes on {device.type} here, not on {options.device}{hide}")
    try:
        if options.full:
            from benchmarks.gpu_full import train_in_full

            name, results = "train-gpu", iter([train_in_full(device, options.tinystories, options.gpt2)])
        else:
            name, results = "bench-gpu", measured(all_parts(device), options.seconds)
    except UserError as error:
        sys.exit(f"benchmarks.gpu: {error}")
    rows, facts = [], machine(device)
    for row in results:  # written after each: a crash leaves what was measured before it
        rows.append(row)
        write_report(options.out / name, "Talewright on a GPU", facts, rows)
    print("\n".join(["", *table(rows), "", f"{options.out / name}.json and .md"]))


def all_parts(device: torch.device) -> Iterator[Part]:
    """The parts, the most important first: the last ones may find no time left."""
    recipes = {name: load_recipe(name) if device.type == "cuda" else stand_in(name) for name in FOUR + LADDER}
    large = with_batch(recipes["gpt2-124m"], LARGE_BATCH if device.type == "cuda" else 8, 1)
    compiled = device.type == "cuda"
    yield training(large, device, "auto", compiled)
    yield training(recipes["gpt2-124m"], device, "fp16", compiled)
    for name in FOUR:
        yield training(recipes[name], device, "auto", compiled)
    for name in FOUR:
        yield from (generation(recipes[name], batch) for batch in (1, 64))
    for name in reversed(LADDER):
        yield training(recipes[name], device, "auto", False)
    for name in reversed(LADDER):
        yield from (generation(recipes[name], batch) for batch in (1, 64))
    if compiled:
        for name in FOUR:
            yield training(recipes[name], device, "auto", False)
        for name in reversed(LADDER):
            yield training(recipes[name], device, "auto", True)


def training(recipe: Recipe, device: torch.device, precision: str, compiled: bool) -> Part:
    """Training with the recipe's batch."""
    batch = recipe.train.micro_batch * recipe.train.accumulation
    labels = {"what": "train", "recipe": recipe.name, "batch": batch, "tokens_per_step": batch * recipe.sequence_length}
    train = dataclasses.replace(recipe.train, precision=precision, compile=compiled, accelerator=device.type)
    recipe = dataclasses.replace(recipe, train=train)

    def measure() -> dict[str, Any]:
        fitted = largest_micro_batch(recipe, device)
        figures = bench_training(fitted, TRAINING_SECONDS)
        flops = figures["flops_per_second"]
        peak = data_sheet_peak(device, figures["precision"])
        return {
            "micro_batch": fitted.train.micro_batch,
            "precision": figures["precision"],
            "compiled": figures["compiled"],
            "tokens_per_second": figures["tokens_per_second"],
            "percent_of_measured_peak": figures["percent_of_peak"],
            "percent_of_data_sheet": peak and 100 * flops / peak,
            "peak_memory_gib": figures["peak_memory_bytes"] / 2**30,
            "warm_up_seconds": figures["warm_up_seconds"],
        }

    return Part({**labels, "options": f"{precision}, {'compiled' if compiled else 'eager'}"}, measure)


def generation(recipe: Recipe, batch: int) -> Part:
    """Generation of texts of the context's length."""

    def measure() -> dict[str, Any]:
        figures = bench_generation(recipe, GENERATION_SECONDS, batch, "fp32")
        memory = figures["peak_memory_bytes"] / 2**30
        return {"precision": "fp32", "tokens_per_second": figures["tokens_per_second"], "peak_memory_gib": memory}

    return Part({"what": "generate", "recipe": recipe.name, "batch": batch}, measure)


def measured(parts: Iterator[Part], seconds: float) -> Iterator[dict[str, Any]]:
    """The row of each part, shown as it is measured. None starts or continues after the time limit."""
    end = time.monotonic() + seconds
    for part in parts:
        limit = min(PART_SECONDS, end - time.monotonic())
        started = time.monotonic()
        outcome = attempt(part, limit) if limit >= LEAST_SECONDS else {"note": "not measured: no time was left"}
        row = {**part.labels, **outcome, "seconds": round(time.monotonic() - started, 1)}
        print(", ".join(f"{key} {cell(value)}" for key, value in row.items() if value is not None), flush=True)
        yield row


def attempt(part: Part, limit: float) -> dict[str, Any]:
    """The part's figures, or a note that says why there are none."""
    free_memory()
    try:
        with time_limit(limit):
            return part.measure()
    except TimeIsUpError:
        return {"note": f"cut after {limit:.0f} s"}
    except (UserError, RuntimeError) as error:  # too little memory, or an operation that this GPU lacks
        return {"note": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUpError within if it takes longer."""

    def stop(*_: object) -> None:
        raise TimeIsUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free_memory() -> None:
    """Forget what the part before left: compiled graphs of other shapes, and memory."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def largest_micro_batch(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with the same batch, in the largest micro-batches that are estimated to fit."""
    whole = with_batch(recipe, recipe.train.micro_batch * recipe.train.accumulation, 1)
    precision = "fp32" if recipe.train.precision == "fp32" else "bf16"  # fp16 has the same size
    need = MemoryNeed(whole, precision, device)
    available = need.available()
    if available is None or need.needed() <= available:
        return whole
    smaller = need.smaller_batch(available)
    return with_batch(recipe, smaller.micro_batch, smaller.accumulation) if smaller else recipe


def with_batch(recipe: Recipe, micro_batch: int, accumulation: int) -> Recipe:
    train = dataclasses.replace(recipe.train, micro_batch=micro_batch, accumulation=accumulation)
    return dataclasses.replace(recipe, train=train)


def data_sheet_peak(device: torch.device, precision: str) -> float | None:
    """FLOP/s of the card's data sheet; None if the card, or the precision, is not in the list."""
    name = device_name(device)
    return next((peaks.get(precision) for part, peaks in DATA_SHEET.items() if re.search(part, name)), None)


def stand_in(name: str) -> Recipe:
    """A small model of the recipe's kind, which a CPU trains in a second."""
    values = recipe_to_dict(load_recipe(name))
    heads = {"n_heads": 4, "n_kv_heads": 2 if values["model"]["n_kv_heads"] else None}
    sizes = {"n_layers": 2, "d_model": 32, "d_ff": 64, "vocab_size": 512, "context_length": 32}
    values["model"] |= sizes | heads
    values["train"] |= {"micro_batch": 4, "accumulation": 2}
    values["data"] |= {"sequence_length": None, "stride": None}
    return recipe_from_dict({**values, "name": f"{name}-stand-in"})


if __name__ == "__main__":
    main()
