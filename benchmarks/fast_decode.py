"""The speedup of the fast decode path: tokens per second with it and with the model's own forward pass, in turn.

    python benchmarks/fast_decode.py
    python benchmarks/fast_decode.py --recipes gpt2-124m --batches 32 --tokens 20 --rounds 5

Greedy, from one token on, with random weights; medians over the rounds. `--cpu-time` counts the process's CPU time
instead of wall-clock time, which is fairer on a busy machine (with OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from talewright.config import load_recipe
from talewright.generate.fast_decode import Decoder
from talewright.machine import keep_heap
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache

Step = Callable[[Tensor, KVCache], Tensor]
"""From the newest token of each row (B,) to the logits of the next (B, V)."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipes", nargs="+", default=["mini-2m", "story-1m", "gpt2-124m"])
    options.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    options.add_argument("--tokens", type=int, default=60)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--cpu-time", action="store_true")
    chosen = options.parse_args()
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    keep_heap()
    print("| recipe | streams | model, tokens/s | fast decode, tokens/s | ratio |\n|---|---|---|---|---|")
    for recipe in chosen.recipes:
        model = GPT(load_recipe(recipe).model).eval()
        decoder = Decoder(model, model.config.vocab_size)
        steps: list[Step] = [
            lambda tokens, cache, model=model: model(tokens[:, None], cache)[:, 0],
            lambda tokens, cache, decoder=decoder: decoder.logits(decoder.hidden(tokens, cache)),
        ]
        for batch in chosen.batches:
            rates: list[list[float]] = [[], []]
            for number in range(chosen.rounds + 1):
                for step, seen in zip(steps, rates, strict=True):
                    seconds = generate(model, step, batch, chosen.tokens, clock)
                    if number:  # the first round warms up
                        seen.append(batch * chosen.tokens / seconds)
            slow, fast = map(statistics.median, rates)
            print(f"| {recipe} | {batch} | {slow:,.0f} | {fast:,.0f} | {fast / slow:.2f} |", flush=True)


@torch.inference_mode()
def generate(model: GPT, step: Step, batch: int, count: int, clock: Callable[[], float]) -> float:
    """The seconds that `count` tokens of `batch` streams take."""
    cache = KVCache.empty(model.config, batch, count, like=model.output_weight)
    tokens, start = torch.zeros(batch, dtype=torch.long), clock()
    for _ in range(count):
        tokens = step(tokens, cache).argmax(-1)
    return clock() - start


if __name__ == "__main__":
    main()
