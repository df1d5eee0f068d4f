"""One process at a time writes a run folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from talewright.errors import UserError
from talewright.files import shell_word
from talewright.locks import refuse_if_locked
from talewright.run.new_folder import RECIPE


def refuse_if_moved(run: Path, identity: os.stat_result, log: IO[bytes]) -> None:
    """Raise UserError if the run folder, whose `identity` is that of its start, is not at its path any more.

    Its `log` is open and moves with it, but a checkpoint would be written into a second folder.
    """
    with suppress(OSError):
        if os.path.samestat(identity, run.stat()):
            return
    place = None
    with suppress(OSError):  # only Linux says so
        place = Path(f"/proc/self/fd/{log.fileno()}").readlink().parent
    if place is None or not (place / "checkpoints").is_dir():
        then = "If it was moved, `talewright train --resume` with its new path continues from its last checkpoint"
    else:
        command = f"talewright train --resume {shell_word(str(place))}"
        then = f"It is now {place}: `{command}` continues from its last checkpoint"
    raise UserError(f"{run} was moved or deleted while it trained, so training ends. {then}")


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run folder, created if missing, for this process; the system releases it however the process ends.

    Raises LockedError if another process holds it, UserError if it cannot be written.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    lock = refuse_if_locked(
        run / ".lock", owner, lambda who: f"{who} is training in {run}; wait for it, or name another folder with --out"
    )
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.__enter__()
    except OSError as error:
        begun = (run / RECIPE).is_file()
        what = "make it writable, or resume a copy of it" if begun else "name another by --out"
        raise UserError(f"cannot write the run folder {run}: {error.strerror}; {what}") from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
