"""Locks between processes: of a file that is written, or of a folder that is about to be made."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from talewright.errors import UserError

LOCK_POLL = 0.1
"""Seconds between two tries for a lock that another process holds."""
LOCKED_BYTE = 1 << 30
"""Windows locks bytes, and nobody else may read them: this one is beyond what a lock file or a log holds."""


class LockedError(UserError):
    """Another process holds the lock."""


@contextmanager
def wait_for_lock(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder that is about to be made; if another process holds it, call `on_wait` and wait."""
    path = target.with_name(f".{target.name}.lock")
    while True:
        with path.open("ab") as file:
            if not lock_file(file, wait=False):
                on_wait()
                lock_file(file, wait=True)
            if _is_open_file(file, path):  # otherwise its previous holder deleted it in the meantime
                try:
                    yield
                finally:
                    deleted = _delete(path)
                break
    if not deleted:
        _delete(path)  # Windows deletes no open file, so this leaves it to whoever waits


def _delete(path: Path) -> bool:
    """Delete a file; False if the system does not let it go."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return False
    return True


@contextmanager
def refuse_if_locked(path: Path, owner: str, message: Callable[[str], str]) -> Iterator[None]:
    """Hold the lock file `path`, which names its `owner`; the system releases it however the process ends.

    Raises LockedError with `message(owner)` of the current holder, OSError if the file cannot be written.
    """
    with path.open("a+", encoding="utf-8", errors="replace", newline="\n") as file:
        if not lock_file(file, wait=False):
            file.seek(0)
            raise LockedError(message(file.read(200) or "another process"))
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            file.truncate(0)
            file.write(owner)
            file.flush()
        yield


def lock_file(file: IO[Any], wait: bool = False) -> bool:
    """Lock an open file until it is closed; False if another process holds it. True if its disk has no locks."""
    while not _try_lock(file):
        if not wait:
            return False
        time.sleep(LOCK_POLL)
    return True


def _try_lock(file: IO[Any]) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_on_windows(file.fileno())
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _try_lock_on_windows(handle: int) -> bool:
    msvcrt: Any = import_module("msvcrt")  # unknown to a type checker elsewhere
    position = os.lseek(handle, 0, os.SEEK_CUR)
    os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    except OSError:  # a file system without locks
        return True
    finally:
        os.lseek(handle, position, os.SEEK_SET)
    return True


def _is_open_file(file: IO[Any], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
