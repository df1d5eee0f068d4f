"""What the possibility to look inside costs: a forward pass before anything was looked at, after, and while.

python benchmarks/recording.py [--recipe mini-2m] [--rounds 30]

A plain pass is timed in a model that was never recorded, then the same in one that was: the two must be equal but for
the noise of the machine, which is shown beside them. The modules are searched for anything that recording left.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro

from talewright.config import load_recipe
from talewright.inspect import record
from talewright.model.gpt import GPT


@dataclass
class Options:
    recipe: str = "mini-2m"
    """Recipe whose model is timed."""
    rounds: int = 30
    """Passes of each kind, in turn."""
    rows: int = 8
    """Rows of the whole context in a pass."""


def main(options: Options) -> None:
    torch.manual_seed(0)
    config = load_recipe(options.recipe).model
    never, looked_at = GPT(config).eval(), GPT(config).eval()
    tokens = torch.randint(config.vocab_size, (options.rows, config.context_length))
    record(looked_at, tokens, ["*"])
    passes: dict[str, Callable[[], object]] = {
        "never looked at": lambda: never(tokens),
        "looked at before": lambda: looked_at(tokens),
        "never looked at, again": lambda: never(tokens),
        "weights recorded": lambda: record(looked_at, tokens, ["blocks.*.attn.pattern"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    with torch.no_grad():
        for number in range(options.rounds + 3):  # the first three warm up
            for name, run in passes.items():
                start = time.perf_counter()
                run()
                if number >= 3:
                    seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        low, middle = min(found), statistics.median(found)
        print(f"{name:24}{1000 * middle:8.2f} ms (median of {options.rounds}; least {1000 * low:.2f})")
    print(f"{'hooks left behind':24}{hooks(looked_at):8}")


def hooks(model: GPT) -> int:
    """What is registered on the model's modules to be called at a pass."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in model.modules())


if __name__ == "__main__":
    main(tyro.cli(Options))
