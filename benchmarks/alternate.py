"""Timing rivals side by side: in turn, so that a machine whose speed drifts is fair to all.

Each rival has a process of its own: its heap, its threads' waking and its peak memory are then its own as well.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

MIB = 2**20


class Rival(NamedTuple):
    """How to make what is timed: `make(*arguments)`, in the rival's own process, gives a call without arguments."""

    make: Callable[..., Callable[[], object]]
    arguments: tuple[Any, ...]


class Measured(NamedTuple):
    """Times and memory of a rival."""

    seconds: float
    """Median of a call."""
    peak: int
    """Bytes of memory at the most, beyond those before `make` was called."""


def alternate(rivals: Mapping[str, Rival], rounds: int, warm_up: int = 2, calls: int = 5) -> dict[str, Measured]:
    """Each rival in turn calls `calls` times, `rounds` times after the warm-up; the others wait meanwhile."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name, rival in rivals.items():
        here, there = context.Pipe()
        context.Process(target=_serve, args=(there, rival), daemon=True).start()
        pipes[name] = here
        here.recv()
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(warm_up + rounds):
        for name, pipe in pipes.items():
            pipe.send(calls)
            found = pipe.recv()
            if number >= warm_up:
                times[name] += found
    peaks = {}
    for name, pipe in pipes.items():
        pipe.send(0)
        peaks[name] = pipe.recv()
    return {name: Measured(statistics.median(times[name]), peaks[name]) for name in rivals}


def _serve(pipe: Connection, rival: Rival) -> None:
    before = _peak()
    call = rival.make(*rival.arguments)
    pipe.send(None)
    while calls := pipe.recv():
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        pipe.send(times)
    pipe.send(_peak() - before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def table(rows: Mapping[str, Mapping[str, float | str]], as_json: bool) -> None:
    """Print a table, one row per rival: as Markdown, or as JSON."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    heads = list(next(iter(rows.values())))
    print(f"| | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(_shown(row[head]) for head in heads)} |")


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
