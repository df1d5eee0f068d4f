"""Folders that are whole or absent: the cache, a lock, writing that survives a loss of power, errors of the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from talewright.errors import UserError


def cache_root() -> Path:
    """Where prepared stories are kept: TALEWRIGHT_CACHE, or ~/.cache/talewright."""
    named = os.environ.get("TALEWRIGHT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "talewright"


def write_json(path: Path, value: Any) -> None:
    """Write the file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> Any:
    """The value in the file; None where there is none, or none that is whole."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def sync_folder(folder: Path) -> None:
    """Wait until all files below the folder, and its own entries, are on the disk."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def move_into_place(made: Path, target: Path) -> None:
    """Give a folder that is whole its name, for good. An empty folder may stand there already."""
    sync_folder(made)
    made.replace(target)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(target: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep others from making the same folder; waits, having said so, while another does."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    path = target.with_name(f".{target.name}.lock")
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            if _same_file(file.fileno(), path):  # else its owner was done and took it away meanwhile
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


def _same_file(handle: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def is_half_made(folder: Path) -> bool:
    """Whether the folder is what a preparation left, and not somebody's own."""
    return any((folder / name).exists() for name in ("spool", "progress.json", "manifest.json"))


@contextmanager
def disk_errors(folder: Path, half_made: Path) -> Iterator[None]:
    """Say what is wrong with the folder's disk in one sentence; where it is full, the half-made folder goes."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = 0
            if is_half_made(half_made):
                size = sum(path.stat().st_size for path in half_made.rglob("*") if path.is_file())
                shutil.rmtree(half_made, ignore_errors=True)
            raise UserError(
                f"the disk of {folder} is full: {size:,} bytes had been prepared, and more were needed. Free some, "
                "or name another place with TALEWRIGHT_CACHE"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"{error.filename or folder} cannot be written: {error.strerror}; name another folder, or another "
                "cache with TALEWRIGHT_CACHE"
            ) from None
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None
