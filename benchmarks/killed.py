"""Compare a run that is killed at random moments and resumed each time with one that is never stopped.

python benchmarks/killed.py --data stories.txt --recipe mini-2m --steps 600 --kills 20
python benchmarks/killed.py --data stories.txt --recipe mini-2m --minutes 60 --kills 20

The first run is never stopped. With --minutes it trains for about that time; the number of steps is measured first.
The second run gets SIGKILL --kills times, at moments drawn over the time that the first one took. Both train in fp32,
which gives the same results however a run is interrupted. Exits with 1 if weights, optimizer, log or samples differ.
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

CLOCK = ("seconds", "warm_seconds", "evaluated_seconds", "tokens_per_second")
"""Measured times, which always differ."""


def differences(first: Path, second: Path) -> list[str]:
    """What differs between two run folders: in the last checkpoint, the log and the samples."""
    ends = [run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip() for run in (first, second)]
    if ends[0].name != ends[1].name:
        return [f"the last step: {ends[0].name} and {ends[1].name}"]
    weights = ("model.safetensors", "optimizer.safetensors")
    different = [name for name in weights if len({_bytes(end / name) for end in ends}) > 1]
    states = [_untimed(json.loads((end / "state.json").read_text())) for end in ends]
    logs = [list(log_of(run)) for run in (first, second)]
    stories = [_bytes(run / "samples.jsonl") for run in (first, second)]
    compared = {"state.json": states, "log.jsonl": logs, "samples.jsonl": stories}
    return different + [name for name, (one, other) in compared.items() if one != other]


def log_of(run: Path) -> Iterator[dict[str, Any]]:
    """The log's events of training and evaluation, without those of starting and saving."""
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] in ("step", "evaluation", "skipped"):
            yield _untimed(event)


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in CLOCK}


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def train(*args: str) -> subprocess.Popen[str]:
    """A `talewright train` in a process of its own."""
    command = [sys.executable, "-m", "talewright", "train", *args]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(errors)


def seconds_per_step(run: Path) -> float:
    """Seconds per step, with evaluations and saves, without the first steps."""
    events = list(map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines()))
    times = [event["seconds"] for event in events if event["event"] == "step"]
    return (times[-1] - times[1]) / (len(times) - 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="stories, as for talewright train")
    parser.add_argument("--recipe", default="mini-2m")
    parser.add_argument("--steps", type=int, help="optimizer steps of each run")
    parser.add_argument("--minutes", type=float, help="about how long the run that is never stopped trains")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--out", type=Path, default=Path("runs/killed"), help="folder of the two runs; replaced")
    parser.add_argument("rest", nargs="*", help="after --: settings of both runs, such as --train.checkpoint-every 50")
    args = parser.parse_args()
    if (args.steps is None) == (args.minutes is None):
        parser.error("give --steps or --minutes")
    shutil.rmtree(args.out, ignore_errors=True)
    options = ["--recipe", args.recipe, "--data", args.data, "--train.precision", "fp32", *args.rest]
    steps = args.steps
    if steps is None:
        finish(train(*options, "--max-steps", "30", "--out", str(args.out / "measured")))
        steps = max(2, round(60 * args.minutes / seconds_per_step(args.out / "measured")))
    options += ["--max-steps", str(steps)]

    start = time.perf_counter()
    finish(train(*options, "--out", str(args.out / "whole")))
    whole = time.perf_counter() - start
    print(f"{steps:,} steps in {whole:,.0f} s, never stopped", flush=True)
    kills, lost = killed_again_and_again(options, args.out / "killed", args.kills, whole, random.Random(args.seed))
    different = differences(args.out / "whole", args.out / "killed")
    result = f"differs in {', '.join(different)}" if different else "identical"
    print(f"killed {kills} times, {lost:,} steps repeated: {result}")
    sys.exit(bool(different))


def killed_again_and_again(
    options: list[str], run: Path, kills: int, seconds: float, draw: random.Random
) -> tuple[int, int]:
    """Train into `run`, killed `kills` times, at intervals that make it end about when the last one has passed.

    Returns the number of kills, and of steps that were made more than once.
    """
    killed = lost = 0
    while True:
        resume = (run / "recipe.yaml").exists()
        process = train("--resume", str(run)) if resume else train(*options, "--out", str(run))
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
