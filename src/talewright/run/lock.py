"""One run, one process that writes it: a second one is told."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.errors import UserError


class HeldError(UserError):
    """Another process has the run folder."""


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Keep the run folder, which is made where there is none, for this process; the system lets go of it however the
    process ends. Raises HeldError where another has it, UserError where it cannot be written.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / ".lock").open("ab+")
    except OSError as error:
        raise UserError(f"cannot write the run folder {run}: {error.strerror}; name another by --out") from None
    with file:
        _lock(file.fileno(), run)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield


def _lock(handle: int, run: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
        raise HeldError(f"{who} is training in {run}; wait for it, or name another folder by --out") from None
    except OSError:  # a file system without locks: nothing is promised there
        return
