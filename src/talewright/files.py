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

LARGEST_JSON = 64 << 20  # bytes; a manifest of a hundred thousand shards has a fifth of that


def cache_dir() -> Path:
    """Where prepared stories are kept: TALEWRIGHT_CACHE, or ~/.cache/talewright."""
    named = os.environ.get("TALEWRIGHT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "talewright"


def write_json(path: Path, value: Any) -> None:
    """Write the file whole or not at all."""
    write_text_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file whole or not at all, for good."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> Any:
    """The value in the file; None where there is none, none that is whole, or one larger than any of ours."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_JSON:  # a pipe would keep one waiting for ever
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def reject_outside_links(folder: Path) -> None:
    """Raise UserError where anything in the folder is a link that leads out of it, or a pipe or device.

    Made by a stranger, it could have a file of one's own read or written over, or keep one waiting for ever.
    """
    home = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise UserError(f"{path} is a link that leads out of {folder}; put what it leads to in its place")
        if path.exists() and not (path.is_file() or path.is_dir()):  # a run that trains takes files away meanwhile
            raise UserError(f"{path} is neither a file nor a folder, and belongs into no folder of ours")


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


def sha256_file(path: Path) -> str:
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
def disk_errors(folder: Path, half_made: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Say what is wrong with the folder's disk in one sentence; where it is full, the half-made folder goes.

    `needed` tells how many bytes it takes to make the folder, about; 0 where that is not known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            made = folder_size(half_made) if is_half_made(half_made) else 0
            if made:
                shutil.rmtree(half_made, ignore_errors=True)
            free = shutil.disk_usage(_existing(folder)).free
            words = f"about {needed():,}" if needed() else f"more than {made:,}"
            raise UserError(
                f"the disk of {folder} has too little room: {words} bytes are needed, and {free:,} are free. "
                "Free some, or name another place with --out or TALEWRIGHT_CACHE"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"{error.filename or folder} cannot be written: {error.strerror}; name another folder, or another "
                "cache with TALEWRIGHT_CACHE"
            ) from None
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from None


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
