"""Ideas to learn more in the same time, each against the base: equal seconds, paired seeds.

    python -m benchmarks.ideas 'stories/train*.txt' --valid valid.txt --steps 1000 --ideas canon key-shift

First the costs: all ideas in turn train for a few seconds each, several times around, on all cores, and the median
gives how long a step takes beside the base's. Then each idea trains, for each seed, as many steps as fit into the time
of the base's `--steps`. So a busy machine disturbs only the costs, whose spread is shown, and runs may share the
machine (`--jobs`). `--equal-steps` asks what an idea gives where it costs nothing.

After each seed the table is printed: the mean difference in bits per byte with its 95 % interval (Student's paired t).
An idea counts from 0.004 bits per byte whose interval excludes 0; what is below 0 is better. An idea is a few settings,
or a change of our classes in `changes.py`: what does not win never enters the package.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.changes import IDEAS

from talewright.config import Recipe
from talewright.evaluate.seeds import difference

COUNTS = 0.004
"""Bits per byte that an idea must win."""
ROUNDS, TURN = 5, 4.0
"""Turns of each idea while costs are measured, and the seconds of a turn."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", help="training stories: a file, a folder or a pattern")
    options.add_argument("--valid", required=True)
    options.add_argument("--recipe", default="story-1m")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the base")
    options.add_argument("--ideas", nargs="+", default=list(IDEAS)[1:], metavar="IDEA", help=", ".join(IDEAS))
    options.add_argument("--steps", type=int, default=1000, help="steps of the base")
    options.add_argument("--equal-steps", action="store_true", help="as many steps for each idea, whatever it costs")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--stories", type=int, default=500, help="validation stories that are scored")
    options.add_argument("--jobs", type=int, default=2, help="runs at a time, which share the cores")
    options.add_argument("--out", type=Path, help="JSON lines: each run as it ends")
    options.add_argument("--cost", metavar="IDEA", help=argparse.SUPPRESS)
    options.add_argument("--one", nargs=3, metavar=("IDEA", "SEED", "STEPS"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.cost:
        serve_cost(chosen, chosen.cost)
    elif chosen.one:
        print(json.dumps(train(chosen, chosen.one[0], int(chosen.one[1]), int(chosen.one[2]))))
    else:
        compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Measure costs, train everything, print the table after each seed."""
    names = ["base", *chosen.ideas]
    costs = dict.fromkeys(names, 1.0) if chosen.equal_steps else measure_costs(names)
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in names}
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            steps = {name: str(round(chosen.steps / costs[name])) for name in names}
            runs = {name: pool.submit(child, chosen.jobs, "--one", name, str(seed), steps[name]) for name in names}
            for name, run in runs.items():
                found[name][seed] = {**json.loads(run.result()), "cost": costs[name]}
                line = json.dumps({"idea": name, "seed": seed, **found[name][seed]})
                print(line, file=sys.stderr, flush=True)
                if chosen.out:
                    with chosen.out.open("a") as file:
                        file.write(line + "\n")
            print(table(found), flush=True)


def child(jobs: int, *arguments: str) -> str:
    """The last line that this program prints with these further arguments, on its share of the cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.ideas", *sys.argv[1:], *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{run.stderr}")
    return run.stdout.splitlines()[-1]


def measure_costs(names: Sequence[str]) -> dict[str, float]:
    """Seconds of a step of each idea beside the base's: medians of the ratios within each round."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # those that wait must not spin
    command = [sys.executable, "-m", "benchmarks.ideas", *sys.argv[1:], "--cost"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    children = {name: subprocess.Popen([*command, name], **pipes) for name in names}
    try:
        for name, each in children.items():  # one after the other: they compile
            ask(each, name)
        rounds = [{name: ask(each, name) for name, each in children.items()} for _ in range(ROUNDS)]
    finally:
        for each in children.values():
            each.kill()
    costs = {}
    for name in names:
        ratios = [seconds[name] / seconds["base"] for seconds in rounds]
        costs[name] = statistics.median(ratios)
        print(f"{name}: {costs[name]:.3f} of a base step ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
    return costs


def ask(process: subprocess.Popen[str], name: str) -> float:
    """Seconds of a step, from a child."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"the cost of {name} was not measured")
    return float(answer)


def serve_cost(chosen: argparse.Namespace, name: str) -> None:
    """Train for a turn whenever a line comes, and print the median seconds of a step."""
    from talewright.data import open_corpus
    from talewright.machine import keep_heap
    from talewright.train.distributed import launch
    from talewright.train.trainer import Trainer, training_batches

    keep_heap()
    recipe = changed_recipe(chosen, name, 0, 10**6)
    sys.stdout, answers = sys.stderr, sys.stdout
    trainer = None
    for _ in sys.stdin:
        if trainer is None:  # the first answer: compiled and warm
            batches = training_batches(recipe, open_corpus(recipe).split("train"))
            trainer = Trainer(recipe, launch(recipe), batches)
        seconds, end = [], time.perf_counter() + TURN
        while not seconds or time.perf_counter() < end:
            started = time.perf_counter()
            trainer.update()
            seconds.append(time.perf_counter() - started)
        trainer.finish()
        print(statistics.median(seconds), file=answers, flush=True)


def train(chosen: argparse.Namespace, name: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one run in a temporary folder: its bits per byte at the end, steps and parameters."""
    import talewright
    from talewright.model.cost import count_parameters
    from talewright.run.log import read_log

    recipe = changed_recipe(chosen, name, seed, steps)
    with tempfile.TemporaryDirectory() as folder:
        run = talewright.fit(recipe, Path(folder) / "run")
        events = list(read_log(run.path / "log.jsonl"))
    last = [event for event in events if event["event"] == "evaluation"][-1]
    return {
        "bits_per_byte": last["bits_per_byte"],
        "steps": last["step"],
        "parameters": count_parameters(recipe.model).total,
    }


def changed_recipe(chosen: argparse.Namespace, name: str, seed: int, steps: int) -> Recipe:
    """The recipe of an idea's run; its change of classes is made."""
    from talewright.config import load_recipe

    settings = {
        "data.source": json.dumps(chosen.data),
        "data.valid": chosen.valid,
        "train.max_minutes": "null",
        "train.max_tokens": "null",
        "train.max_steps": str(steps),
        "train.evaluate_every": "10000000",
        "train.checkpoint_every": "10000000",
        "train.evaluate_stories": str(chosen.stories),
        "train.compile": "true",
        "seed": str(seed),
        **dict(pair.split("=", 1) for pair in chosen.set),
    }
    idea = IDEAS[name]
    settings.update(idea.settings)
    recipe = load_recipe(chosen.recipe, settings)
    if idea.change is not None:
        idea.change(recipe)
    return recipe


def table(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Markdown: each idea beside the base."""

    def values(name: str, key: str) -> dict[int, float]:
        return {seed: figures[key] for seed, figures in found[name].items()}

    head = "| idea | bits/byte | difference | 95 % interval | cost of a step | steps | parameters | seeds | |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for name, runs in found.items():
        mean, steps = (statistics.fmean(values(name, key).values()) for key in ("bits_per_byte", "steps"))
        cost, size = (next(iter(values(name, key).values())) for key in ("cost", "parameters"))
        gain = difference(values("base", "bits_per_byte"), values(name, "bits_per_byte"))
        interval, verdict = "", ""
        if name != "base" and gain.low is not None and gain.high is not None:
            interval = f"{gain.low:+.4f} to {gain.high:+.4f}"
            clear = not gain.tied and abs(gain.mean) >= COUNTS
            verdict = ("better" if gain.mean < 0 else "worse") if clear else "no difference that counts"
        shown = f"{gain.mean:+.4f}" if name != "base" else ""
        lines.append(
            f"| {name} | {mean:.4f} | {shown} | {interval} | {cost:.2f} | {steps:,.0f} | {size / 1e6:.2f}M | "
            f"{len(runs)} | {verdict} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
