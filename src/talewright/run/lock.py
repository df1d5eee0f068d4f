"""One process at a time writes a run folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.errors import UserError
from talewright.files import refuse_if_locked


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run folder, created if missing, for this process; the system releases it however the process ends.

    Raises LockedError if another process holds it, UserError if it cannot be written.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    lock = refuse_if_locked(
        run / ".lock", owner, lambda who: f"{who} is training in {run}; wait for it, or name another folder by --out"
    )
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.__enter__()
    except OSError as error:
        raise UserError(f"cannot write the run folder {run}: {error.strerror}; name another by --out") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
