"""Training in 1, 2 and 4 processes of this machine, in turn, each step on the same number of tokens.

    python benchmarks/processes.py --recipe quickstart
    python benchmarks/processes.py --recipe mini-2m --processes 1 2

Variants show what the processes' communication costs: without averaging the gradients, and with all of Muon's products
in every process in place of a share (as in training on CPUs, but for fp32). Tokens are random; a figure is the median
of the rounds. Five minutes or so.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alternate import table

if TYPE_CHECKING:
    from talewright.train.trainer import Trainer

SHARED, UNSHARED, UNAVERAGED = "Muon shared", "Muon not shared", "Muon shared, gradients not averaged"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="quickstart")
    options.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    options.add_argument("--steps", type=int, default=10, help="of a turn")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--json", action="store_true")
    options.add_argument("--precision", default="auto")
    options.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.worker:
        serve(chosen.recipe, chosen.worker, chosen.precision)
        return
    workers = {number: start(chosen.recipe, number, chosen.precision) for number in chosen.processes}
    turns = [(number, variant) for number in workers for variant in variants(chosen.recipe, number)]
    seconds: dict[tuple[int, str], list[float]] = {turn: [] for turn in turns}
    for number in range(chosen.rounds + 1):
        for processes, variant in random.sample(turns, len(turns)):
            found = ask(workers[processes], variant, chosen.steps)
            if number:  # the first round warms up
                seconds[processes, variant].append(found / chosen.steps)
    for worker in workers.values():
        worker.communicate()
    tokens, medians = (
        tokens_per_step(chosen.recipe),
        {turn: statistics.median(found) for turn, found in seconds.items()},
    )
    fastest = medians[turns[0]]
    rows: dict[str, dict[str, float | str]] = {
        f"{processes}, {variant}": {
            "ms/step": 1000 * median,
            "tokens/s": tokens / median,
            f"times the speed of {turns[0][0]}": fastest / median,
            "ms more than shared": 1000 * (median - medians[processes, SHARED]),
        }
        for (processes, variant), median in medians.items()
    }
    table(rows, chosen.json)


def variants(recipe: str, processes: int) -> list[str]:
    from talewright.config import load_recipe

    if processes == 1:
        return [SHARED]
    return [SHARED, UNAVERAGED] + ([UNSHARED] if load_recipe(recipe).optimizer.kind == "muon" else [])


def tokens_per_step(name: str) -> int:
    from talewright.config import load_recipe

    recipe = load_recipe(name)
    return recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length


def start(recipe: str, processes: int, precision: str) -> subprocess.Popen[str]:
    """Start that many processes; `ask` controls the main one."""
    command = [sys.executable, __file__, "--worker", str(processes), "--recipe", recipe, "--precision", precision]
    worker = subprocess.Popen(command, env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ask(worker, SHARED, 1)
    return worker


def ask(worker: subprocess.Popen[str], variant: str, steps: int) -> float:
    """Seconds that the given number of steps takes."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(variant, steps, sep=";", file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def serve(name: str, processes: int, precision: str) -> None:
    """Train as each line of the main process's standard input asks, and print the seconds, until it ends."""
    from typing import cast

    from talewright.config import load_recipe
    from talewright.data import Batches
    from talewright.machine import keep_heap
    from talewright.train.benchmark import RandomBatches
    from talewright.train.distributed import launch
    from talewright.train.trainer import Trainer

    keep_heap()
    recipe = load_recipe(
        name, {"train.compile": "false", "train.devices": str(processes), "train.precision": precision}
    )
    distributed = launch(recipe)
    fabric, trainer = distributed.fabric, Trainer(recipe, distributed, cast(Batches, RandomBatches(recipe)))
    change = changer(trainer)
    while line := fabric.broadcast(sys.stdin.readline() if fabric.is_global_zero else ""):
        variant, steps = line.split(";")
        change(variant)
        trainer.update()  # wakes the threads
        started = time.perf_counter()
        for _ in range(int(steps)):
            trainer.update()
        if fabric.is_global_zero:
            print(time.perf_counter() - started, flush=True)


def changer(trainer: Trainer) -> Callable[[str], None]:
    """A call that changes the trainer to a variant."""
    from talewright.train.muon import Muon

    fabric: Any = trainer.fabric
    averaged = fabric.no_backward_sync
    muons = [part for part in getattr(trainer.optimizer, "optimizers", []) if isinstance(part, Muon)]

    def change(variant: str) -> None:
        for muon in muons:
            muon.shared = fabric.world_size > 1 and variant != UNSHARED
        fabric.no_backward_sync = averaged if variant != UNAVERAGED else lambda module, enabled: averaged(module)

    return change


if __name__ == "__main__":
    main()
