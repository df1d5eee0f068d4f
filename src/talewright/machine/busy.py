"""Adapting to other processes while computing: how OpenMP's threads wait for each other.

A thread that waits can spin, which is fastest on an idle machine, or sleep, which on a busy one leaves its core to the
thread that it waits for. Talewright's loops compute inside `adapt_to_load`, which measures how much of the time the
calling thread was given a core. Training keeps its number of threads, so that its results stay the same bit for bit.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from talewright.cpus import usable_cpus

WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user sets how threads wait."""
BUSY_SHARE = 0.85
"""A spinning thread that gets a core for less of the time shares it with another process."""
IDLE_SHARE = 0.7
"""A thread that sleeps while it waits gets a core for more of the time if nothing else runs: 0.83 in training
`quickstart` on two cores, and 0.59 beside two other processes."""
WINDOW = 0.3
"""Seconds of computing between two decisions, at least."""
RETRY, LONGEST_RETRY = 4.0, 60.0
"""Seconds until threads that sleep try to spin again; after each failure twice as long, up to a minute. On a machine
that looks busy they try a minute later, to be sure.
"""


class _Waiting:
    """How the threads of this process wait: changed for all of them at once."""

    def __init__(self) -> None:
        self.sleeping = False
        self._release = threading.Event()
        self._library = _llvm_openmp()
        self._blocktime = self._library.kmp_get_blocktime() if self._library else 0  # in milliseconds
        with suppress(AttributeError, OSError):  # Windows has no such figure
            if os.getloadavg()[0] > usable_cpus():
                self.sleep()

    def sleep(self) -> None:
        """Let waiting threads sleep at once."""
        self.sleeping = True
        if self._library:
            self._library.kmp_set_blocktime(0)
        else:
            self._release.clear()
            ready = threading.Event()
            threading.Thread(target=self._hold_a_team, args=(ready,), daemon=True).start()
            ready.wait()

    def spin(self) -> None:
        """Let waiting threads spin for a while before they sleep."""
        self.sleeping = False
        if self._library:
            self._library.kmp_set_blocktime(self._blocktime)
        self._release.set()

    def _hold_a_team(self, ready: threading.Event) -> None:
        """GNU's OpenMP hardly spins while it manages more threads than there are CPUs (`gomp_throttled_spin_count_var`
        in its source). A thread that has run in parallel once keeps a team of threads of its own until it ends.
        """
        torch.ones(1 << 20).add_(1)
        ready.set()
        self._release.wait()


def _llvm_openmp() -> ctypes.CDLL | None:
    """LLVM's or Intel's OpenMP, if torch uses it."""
    for library in [None, *map(str, (Path(torch.__file__).parent / "lib").glob("lib*omp*"))]:
        with suppress(OSError, AttributeError, TypeError):  # None, the process itself, is unknown on Windows
            loaded = ctypes.CDLL(library)
            if loaded.kmp_get_blocktime and loaded.kmp_set_blocktime:
                return loaded
    return None


class _Watch(threading.local):
    """What one thread has measured, and when it tries to spin again."""

    wall = 0.0
    cpu = 0.0
    retry = RETRY

    def __init__(self) -> None:
        self.next_try = time.monotonic()

    def measured(self, wall: float, cpu: float, waiting: _Waiting) -> None:
        """Decide after enough seconds of computing, of which the thread had a core for `cpu`."""
        self.wall += wall
        self.cpu += cpu
        if self.wall < WINDOW:
            return
        share, now = self.cpu / self.wall, time.monotonic()
        self.wall = self.cpu = 0.0
        if waiting.sleeping and now >= self.next_try + (0 if share >= IDLE_SHARE else LONGEST_RETRY):
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
def adapt_to_load(one_thread: bool = False) -> Iterator[None]:
    """Compute inside this, in steps of about a second at most: threads wait as suits the load of the machine.

    With `one_thread`, a busy machine gets one thread, which is faster still but rounds differently. Does nothing with a
    single thread, or if the user has set how OpenMP waits; a number of threads that was set stays.
    """
    global _waiting
    threads = torch.get_num_threads()
    if threads == 1 or any(name in os.environ for name in WAIT_VARIABLES):
        yield
        return
    _waiting = _waiting or _Waiting()
    if one_thread and _waiting.sleeping and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    started, cpu = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        _watch.measured(time.perf_counter() - started, time.thread_time() - cpu, _waiting)
        torch.set_num_threads(threads)
