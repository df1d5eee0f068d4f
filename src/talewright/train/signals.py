"""Being told to stop: the first signal ends the run at the next safe point, a second one leaves at once.

SIGINT is Ctrl-C, SIGTERM what a system sends before it kills, SIGHUP what a terminal sends that is closed, SIGUSR1 what
a job scheduler sends before time is up. One that is ignored, as SIGHUP is under nohup, stays so.
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

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
SHOW_CURSOR = "\x1b[?25h"  # a live line hides it, and does not live to show it again


class Stopped(KeyboardInterrupt):
    """A signal came where nothing is lost by leaving."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopSignal:
    """While entered, the first signal that asks to stop is noted in `number`; within `breakable` it also raises
    Stopped, and where that is so from the beginning, everywhere but under another StopSignal.

    A second signal ends the process at once, whatever it does; in a notebook, a second Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self, breakable: bool = False) -> None:
        self.number: int | None = None
        self._breaks = breakable
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python hands signals to no other
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._former = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    @contextmanager
    def breakable(self, allowed: bool = True) -> Iterator[None]:
        """What is left unfinished in here is done again after a resume: a signal leaves it at once, as Stopped."""
        self._breaks = allowed
        try:
            if allowed and self.number is not None:
                raise Stopped(self.number)
            yield
        finally:
            self._breaks = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        for each, former in self._former.items():
            signal.signal(each, former if former is signal.default_int_handler else signal.SIG_DFL)
        if not self._breaks:
            cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
            words = f"{cursor}\n{signal.Signals(number).name}: stopping at the next safe point; again, it is at once\n"
            with contextlib.suppress(OSError):
                os.write(2, words.encode())  # print could be in the middle of printing
        else:
            raise Stopped(number)
