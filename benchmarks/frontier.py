"""A picture of finished runs: bits per byte against minutes, tokens and FLOPs, and the Pareto frontier.

    python -m benchmarks.frontier OUT NAME=RUN ...

Writes frontier.png and points.png into the folder OUT, as `talewright sweep` does of its own runs, and prints their
table. Runs of one NAME are the seeds of one point. Each is shown by the last evaluation in its log.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from talewright.scaling.sweep.pictures import draw_results
from talewright.scaling.sweep.reading import POINT
from talewright.scaling.sweep.results import Trial, rows_of
from talewright.scaling.sweep.verdict import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    asked = parser.parse_args()
    trials = []
    for number, named in enumerate(asked.runs):
        name, _, run = named.rpartition("=")
        trials.append(Trial(number=number, point={POINT: name}, seed=0, run=Path(run), state="complete"))
    rows = rows_of(trials)
    draw_results(rows, trials, asked.out)
    print(table(rows))


if __name__ == "__main__":
    main()
