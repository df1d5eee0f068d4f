"""The speedup of speculative decoding: one stream of a run with its draft and without, in turn, at the default settings
and greedy.

    OMP_NUM_THREADS=1 python benchmarks/speculation.py runs/story-1m-1 --cpu-time

Medians over the rounds. `--cpu-time` counts the process's CPU time instead of wall-clock time, which is fairer on a
busy machine (with one thread). The run needs its `draft.safetensors`, which training writes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.machine import keep_heap
from talewright.run import RunFolder


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run")
    options.add_argument("--prompts", nargs="+", default=["Once upon a time", "One day, a dog", "The rabbit", "Tom"])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--cpu-time", action="store_true")
    chosen = options.parse_args()
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    keep_heap()
    run = RunFolder(chosen.run)
    draft = run.draft()
    if draft is None:
        raise UserError(f"{chosen.run} has no draft.safetensors")
    model, _ = run.load_model("best", torch.device("cpu"))
    proposals: list[int] = []

    def counted(ids: Sequence[int], count: int) -> list[int]:
        proposals.append(len(drafted := draft(ids, count)))
        return drafted

    print("| settings | without, tokens/s | with, tokens/s | ratio | tokens a pass | accepted | other stories |")
    print("|---|---|---|---|---|---|---|")
    for name, sampling in {"default": Sampling(), "greedy": Sampling(temperature=0)}.items():
        rates: list[list[float]] = [[], []]
        stories: list[list[list[int]]] = [[], []]
        for number in range(chosen.rounds + 1):
            proposals.clear()
            for way, proposing in enumerate((None, counted)):
                engine = Engine(model, run.tokenizer, notify=lambda words: None, draft=proposing)
                stories[way], seconds = generate(engine, chosen.prompts, sampling, clock)
                if number:  # the first round warms up
                    rates[way].append(sum(map(len, stories[way])) / seconds)
        slow, fast = map(statistics.median, rates)
        ratio = statistics.median(after / before for before, after in zip(*rates, strict=True))
        accepted = sum(map(len, stories[1])) - len(proposals)
        other = sum(ours != theirs for ours, theirs in zip(*stories, strict=True))
        print(
            f"| {name} | {slow:,.0f} | {fast:,.0f} | {ratio:.2f} | {1 + accepted / len(proposals):.2f} "
            f"| {accepted / sum(proposals):.0%} | {other} of {len(chosen.prompts)} |",
            flush=True,
        )


def generate(
    engine: Engine, prompts: Sequence[str], sampling: Sampling, clock: Callable[[], float]
) -> tuple[list[list[int]], float]:
    """The ids of a story for each prompt, one after the other, and the seconds that they took."""
    encoded, start = engine.tokenizer.encode_batch(list(prompts)), clock()
    stories = [list(engine.stream_tokens(ids, sampling, index)) for index, ids in enumerate(encoded)]
    return stories, clock() - start


if __name__ == "__main__":
    main()
