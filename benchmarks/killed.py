"""A run killed at random moments, and resumed each time, against one that was never stopped: are they the same?

python benchmarks/killed.py --data stories.txt --recipe mini-2m --steps 600 --kills 20
python benchmarks/killed.py --data stories.txt --recipe mini-2m --minutes 60 --kills 20

The first run is never stopped. With --minutes it trains about so long: how many steps that makes is measured before.
The second one gets SIGKILL so many times, at moments drawn over the time that the first one took. Both train in fp32,
whose results do not depend on how a run is cut. Exits with 1 where weights, optimiser, log or sample stories differ.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLOCK = ("seconds", "warm_seconds", "tokens_per_second")
"""What is timed, and therefore never the same."""


def differences(first: Path, second: Path) -> list[str]:
    """What two run folders do not have in common: of the last checkpoint, the log and the sample stories."""
    ends = [run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip() for run in (first, second)]
    if ends[0].name != ends[1].name:
        return [f"the last step: {ends[0].name} and {ends[1].name}"]
    found = [
        name for name in ("model.safetensors", "optimizer.safetensors") if len({_bytes(e / name) for e in ends}) > 1
    ]
    states = [_untimed(json.loads((end / "state.json").read_text())) for end in ends]
    logs = [list(log_of(run)) for run in (first, second)]
    stories = [_bytes(run / "samples.jsonl") for run in (first, second)]
    compared = {"state.json": states, "log.jsonl": logs, "samples.jsonl": stories}
    return found + [name for name, (one, other) in compared.items() if one != other]


def log_of(run: Path) -> Iterator[dict[str, Any]]:
    """What the log says of training and evaluation. Sittings and saves are of this run's own life."""
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] in ("step", "evaluation", "skipped"):
            yield _untimed(event)


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in CLOCK}


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def train(*words: str) -> subprocess.Popen[str]:
    """A `talewright train` of its own."""
    command = [sys.executable, "-m", "talewright", "train", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    if process.returncode:
        sys.exit(said)


def seconds_a_step(run: Path) -> float:
    """Seconds of a step, evaluations and saves in their share, without the first steps."""
    events = list(map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines()))
    times = [event["seconds"] for event in events if event["event"] == "step"]
    return (times[-1] - times[1]) / (len(times) - 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="stories, as for talewright train")
    parser.add_argument("--recipe", default="mini-2m")
    parser.add_argument("--steps", type=int, help="optimiser steps of each run")
    parser.add_argument("--minutes", type=float, help="how long the run that is never stopped trains, about")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path("runs/killed"), help="folder of the two runs; made anew")
    parser.add_argument("rest", nargs="*", help="after --: settings of both runs, as in --train.checkpoint-every 50")
    asked = parser.parse_args()
    if (asked.steps is None) == (asked.minutes is None):
        parser.error("give --steps or --minutes")
    shutil.rmtree(asked.out, ignore_errors=True)
    words = ["--recipe", asked.recipe, "--data", asked.data, "--train.precision", "fp32", *asked.rest]
    steps = asked.steps
    if steps is None:
        finish(train(*words, "--max-steps", "30", "--out", str(asked.out / "measured")))
        steps = max(2, round(60 * asked.minutes / seconds_a_step(asked.out / "measured")))
    words += ["--max-steps", str(steps)]

    begun = time.perf_counter()
    finish(train(*words, "--out", str(asked.out / "whole")))
    whole = time.perf_counter() - begun
    print(f"{steps:,} steps in {whole:,.0f} s, never stopped", flush=True)
    kills, lost = killed_again_and_again(words, asked.out / "killed", asked.kills, whole, random.Random(asked.seed))
    found = differences(asked.out / "whole", asked.out / "killed")
    print(
        f"killed {kills} times, {lost:,} steps made again: {'differs in ' + ', '.join(found) if found else 'identical'}"
    )
    sys.exit(bool(found))


def killed_again_and_again(
    words: list[str], run: Path, kills: int, seconds: float, draw: random.Random
) -> tuple[int, int]:
    """Train into `run`, with SIGKILL at so many moments, so far apart that it ends about when the last one was.

    Returns how many times it was killed, and how many steps were made more than once.
    """
    killed = lost = 0
    while True:
        again = (run / "recipe.yaml").exists()
        process = train("--resume", str(run)) if again else train(*words, "--out", str(run))
        if killed < kills:
            time.sleep(draw.uniform(0, 2 * seconds / (kills + 1)))
        if killed == kills or process.poll() is not None:
            finish(process)
            return killed, lost
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        reached, kept = last_step(run), newest_checkpoint(run)
        lost += max(0, reached - kept)
        print(f"  {killed}. killed at step {reached:,}; step {kept:,} is saved", flush=True)


def last_step(run: Path) -> int:
    if not (run / "log.jsonl").exists():
        return 0
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return max((event.get("step", 0) for event in events), default=0)


def newest_checkpoint(run: Path) -> int:
    names = [path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*")]
    return max(map(int, names), default=0)


if __name__ == "__main__":
    main()
