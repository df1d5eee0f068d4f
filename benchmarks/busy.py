"""Speed beside other busy processes: the settings of OpenMP's threads in turn, on an idle and on a busy machine.

    python benchmarks/busy.py --recipe quickstart --busy 0 2 4 8
    python benchmarks/busy.py --what generate --recipe mini-2m --busy 0 2 4 8

Each setting has a process of its own, which trains (or generates) for some seconds whenever its turn comes. A figure is
the median over the rounds of tokens divided by seconds: unlike the median of the steps, it counts the steps that wait.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alternate import table

from talewright.machine.busy import WAIT_VARIABLES

SETTINGS: dict[str, dict[str, str]] = {
    "Talewright's": {},
    "OpenMP's default": {"KMP_BLOCKTIME": "200"},  # GNU's OpenMP ignores it, and ours leaves alone what a user sets
    "30,000 spins": {"GOMP_SPINCOUNT": "30000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = (sys.executable, "-c", "while True: pass")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--what", choices=("train", "generate"), default="train")
    options.add_argument("--recipe", default="quickstart")
    options.add_argument("--busy", nargs="+", type=int, default=[0, 2, 4, 8], help="numbers of busy processes")
    options.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    options.add_argument("--json", action="store_true")
    options.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.worker:
        serve(trainer(chosen.recipe) if chosen.what == "train" else generator(chosen.recipe))
        return
    workers = {name: start(SETTINGS[name], chosen.what, chosen.recipe) for name in chosen.settings}
    rows: dict[str, dict[str, float | str]] = {name: {} for name in workers}
    for number in chosen.busy:
        rates: dict[str, list[float]] = {name: [] for name in workers}
        with busy_processes(number):
            for _ in range(chosen.rounds):
                for name, worker in random.sample(list(workers.items()), len(workers)):
                    rates[name].append(ask(worker, chosen.seconds))
        medians = {name: statistics.median(some) for name, some in rates.items()}
        for name, rate in medians.items():
            rows[name][f"tokens/s beside {number}"] = rate
            rows[name][f"of the best, beside {number}"] = f"{100 * rate / max(medians.values()):.0f} %"
        print(f"beside {number} done", file=sys.stderr)
    table(rows, chosen.json)


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    processes = [subprocess.Popen(BUSY) for _ in range(number)]
    try:
        time.sleep(1)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start(setting: dict[str, str], what: str, recipe: str) -> subprocess.Popen[str]:
    """A worker with that setting, ready."""
    names = (*WAIT_VARIABLES, "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, __file__, "--worker", "--what", what, "--recipe", recipe]
    worker = subprocess.Popen(
        command, env=environment | setting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ask(worker, 0.1)
    return worker


def ask(worker: subprocess.Popen[str], seconds: float) -> float:
    """Tokens/s of a worker that works for that long."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    print(seconds, file=worker.stdin, flush=True)
    return float(worker.stdout.readline())


def serve(work: Callable[[], int]) -> None:
    """Work for the seconds in each line of standard input, and print tokens/s."""
    for line in sys.stdin:
        work()  # wakes the threads
        tokens, started = 0, time.perf_counter()
        while time.perf_counter() - started < float(line):
            tokens += work()
        print(tokens / (time.perf_counter() - started), flush=True)


def trainer(name: str) -> Callable[[], int]:
    """A call that makes an optimizer step, and returns its tokens."""
    from typing import cast

    from talewright.config import load_recipe
    from talewright.data import Batches
    from talewright.machine import keep_heap
    from talewright.train.benchmark import RandomBatches
    from talewright.train.distributed import launch
    from talewright.train.trainer import Trainer

    keep_heap()
    recipe = load_recipe(name, {"train.compile": "false"})
    trained = Trainer(recipe, launch(recipe), cast(Batches, RandomBatches(recipe)))
    tokens = recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length

    def step() -> int:
        trained.update()
        return tokens

    return step


def generator(name: str) -> Callable[[], int]:
    """A call that generates 50 tokens of a story with random weights, and returns their number."""
    import torch

    from talewright.config import load_recipe
    from talewright.generate.batching import Request, generate_all
    from talewright.generate.quantization import decoder_at
    from talewright.generate.sampling import Sampling
    from talewright.machine import keep_heap
    from talewright.model.gpt import GPT

    keep_heap()
    recipe = load_recipe(name)
    torch.manual_seed(recipe.seed)
    decoder = decoder_at(GPT(recipe.model).eval(), recipe.model.vocab_size, "fp32")

    def generate() -> int:
        generate_all(decoder, [Request(prompt=[0], sampling=Sampling(max_new_tokens=50))], [-1])
        return 50

    return generate


if __name__ == "__main__":
    main()
