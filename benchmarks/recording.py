"""The cost of recording activations: a forward pass before, after and during a recording.

python benchmarks/recording.py [--recipe mini-2m] [--rounds 30]

Times a plain pass in a model that was never recorded and in one that was: the two must be equal up to the noise of the
machine, which is shown beside them. Also searches the modules for anything that a recording left behind.
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
    """Recipe of the model."""
    rounds: int = 30
    """Passes of each kind, in alternation."""
    rows: int = 8
    """Rows of a pass, each as long as the context."""


def main(options: Options) -> None:
    torch.manual_seed(0)
    config = load_recipe(options.recipe).model
    untouched, recorded = GPT(config).eval(), GPT(config).eval()
    tokens = torch.randint(config.vocab_size, (options.rows, config.context_length))
    record(recorded, tokens, ["*"])
    passes: dict[str, Callable[[], object]] = {
        "never recorded": lambda: untouched(tokens),
        "recorded before": lambda: recorded(tokens),
        "never recorded, again": lambda: untouched(tokens),
        "recording attention": lambda: record(recorded, tokens, ["blocks.*.attn.pattern"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    with torch.no_grad():
        for number in range(options.rounds + 3):  # the first three warm up
            for name, run in passes.items():
                start = time.perf_counter()
                run()
                if number >= 3:
                    seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        low, middle = min(times), statistics.median(times)
        print(f"{name:24}{1000 * middle:8.2f} ms (median of {options.rounds}; minimum {1000 * low:.2f})")
    print(f"{'hooks left behind':24}{hooks(recorded):8}")


def hooks(model: GPT) -> int:
    """Number of callbacks that are registered on the model's modules."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in model.modules())


if __name__ == "__main__":
    main(tyro.cli(Options))
