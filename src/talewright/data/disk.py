"""Errors of the disk that a preparation writes to."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.errors import UserError
from talewright.files import existing_parent, folder_size


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
            free = shutil.disk_usage(existing_parent(folder)).free
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
