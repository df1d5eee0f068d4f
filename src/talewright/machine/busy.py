"""Adapting to other processes while computing: how OpenMP's threads wait for each other.

A thread that waits can spin, which is fastest on an idle machine, or sleep, which on a busy one leaves its core to the
thread that it waits for. Talewright's loops compute inside `adapt_to_load`, which measures how much of the time the
calling thread was given a core. The number of threads stays, so the results do too.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from talewright.openmp import SPINNING, WAIT_VARIABLES, available_cpus

BUSY_SHARE = 0.85
"""A spinning thread that gets a core for less of the time shares it with another process."""
HOPELESS_SHARE = 0.5
"""A sleeping thread that gets a core for less of the time need not try to spin."""
WINDOW = 0.3
"""Seconds of computing between two decisions, at least."""
RETRY, LONGEST_RETRY = 2.0, 60.0
"""Seconds until threads that sleep try to spin again; after each failure twice as long, up to a minute."""


class _Waiting:
    """How the threads of this process wait: changed for all of them at once."""

    def __init__(self) -> None:
        self.sleeping = False
        self._release = threading.Event()
        self._blocktime = _set_blocktime()
        if hasattr(os, "getloadavg") and os.getloadavg()[0] > available_cpus():
            self.sleep()

    def sleep(self) -> None:
        """Let waiting threads sleep at once."""
        self.sleeping = True
        if self._blocktime is not None:
            self._blocktime(0)
        else:
            self._release.clear()
            ready = threading.Event()
            threading.Thread(target=self._hold_a_team, args=(ready,), daemon=True).start()
            ready.wait()

    def spin(self) -> None:
        """Let waiting threads spin for a while before they sleep."""
        self.sleeping = False
        if self._blocktime is not None:
            self._blocktime(int(SPINNING["KMP_BLOCKTIME"]))
        self._release.set()

    def _hold_a_team(self, ready: threading.Event) -> None:
        """GNU's OpenMP hardly spins while it manages more threads than there are CPUs (`gomp_throttled_spin_count_var`
        in its source). A thread that has run in parallel once keeps a team of threads of its own until it ends.
        """
        torch.ones(1 << 20).add_(1)
        ready.set()
        self._release.wait()


def _set_blocktime() -> Callable[[int], object] | None:
    """`kmp_set_blocktime` of LLVM's or Intel's OpenMP, for milliseconds; None if torch uses another."""
    libraries = [None, *map(str, (Path(torch.__file__).parent / "lib").glob("lib*omp*"))]
    for library in libraries:
        with suppress(OSError, AttributeError):
            return ctypes.CDLL(library).kmp_set_blocktime
    return None


class _Watch(threading.local):
    """What one thread has measured, and when it tries to spin again."""

    wall = 0.0
    cpu = 0.0
    retry = RETRY
    next_try = 0.0

    def measured(self, wall: float, cpu: float, waiting: _Waiting) -> None:
        """Decide after enough seconds of computing, of which the thread had a core for `cpu`."""
        self.wall += wall
        self.cpu += cpu
        if self.wall < WINDOW:
            return
        share, now = self.cpu / self.wall, time.monotonic()
        self.wall = self.cpu = 0.0
        if waiting.sleeping and now >= self.next_try and share >= HOPELESS_SHARE:
            waiting.spin()
        elif not waiting.sleeping and share < BUSY_SHARE:
            waiting.sleep()
            self.next_try = now + self.retry
            self.retry = min(2 * self.retry, LONGEST_RETRY)
        elif not waiting.sleeping:
            self.retry = RETRY


_watch = _Watch()
_waiting: _Waiting | None = None


@contextmanager
def adapt_to_load() -> Iterator[None]:
    """Compute inside this, in steps of about a second at most: threads wait as suits the load of the machine.

    Does nothing with a single thread, or if the user has set how OpenMP waits.
    """
    global _waiting
    if torch.get_num_threads() == 1 or any(os.environ.get(name) != SPINNING.get(name) for name in WAIT_VARIABLES):
        yield
        return
    _waiting = _waiting or _Waiting()
    started, cpu = time.perf_counter(), time.thread_time()
    yield
    _watch.measured(time.perf_counter() - started, time.thread_time() - cpu, _waiting)
