"""Stop signals: the first one ends the run at the next safe point, a second one ends the process at once.

SIGINT is Ctrl-C; SIGTERM comes before a system kills; SIGHUP comes from a closed terminal; SIGUSR1 comes from a job
scheduler before time is up; SIGBREAK is Ctrl-Break on Windows, and what a sweep sends there. A signal that is ignored,
as SIGHUP is under nohup, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from talewright.train.launcher import is_main_process

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
SHOW_CURSOR = "\x1b[?25h"  # a live progress line hides it


class Stopped(KeyboardInterrupt):
    """A stop signal arrived while nothing is lost by stopping at once."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def default_signals() -> Iterator[None]:
    """While entered, a stop signal that is not ignored ends this process at once, even while it waits in C++."""
    caught: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        caught = {number: signal.getsignal(number) for number in SIGNALS}
        caught = {number: handler for number, handler in caught.items() if handler not in (signal.SIG_IGN, None)}
    for number in caught:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


class StopSignal:
    """While entered, the first stop signal is noted in `number`; inside `interruptible` it also raises Stopped.

    With `interruptible=True` it raises Stopped from the start, up to the first `interruptible` block. A second signal
    ends the process at once; in a notebook, a second Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self, interruptible: bool = False) -> None:
        self.number: int | None = None
        self._raises = interruptible
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other thread
            handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._note) for number in handled}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    @contextmanager
    def interruptible(self, allowed: bool = True) -> Iterator[None]:
        """A block that a resumed run repeats from its start, so that a stop signal may leave it at once."""
        self._raises = allowed
        try:
            if allowed and self.number is not None:
                raise Stopped(self.number)
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        for each, previous in self._previous.items():
            signal.signal(each, previous if previous is signal.default_int_handler else signal.SIG_DFL)
        if self._raises:
            raise Stopped(number)
        if not is_main_process():
            return
        cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
        message = (
            f"{cursor}\n{signal.Signals(number).name}: stopping at the next safe point; a second signal stops at once\n"
        )
        with contextlib.suppress(OSError):
            os.write(2, message.encode())  # print is not reentrant
