"""Other systems, as far as this one can stand in for them: what Windows lacks or refuses, is lacking and refused here.

Windows itself is stricter in one point that cannot be shown here: a file that another process has open.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ABSENT = ("pwrite", "pread", "sched_getaffinity", "getloadavg", "mkfifo", "mknod", "fork", "forkpty", "killpg", "chown")
"""Functions of `os` that Windows has not."""
DENIED, SHARED, NO_PRIVILEGE = 5, 32, 1314
"""Windows' numbers of errors."""


def windows_error(kind: int, name: Any) -> OSError:
    error = PermissionError(errno.EACCES, "Access is denied", str(name))
    error.winerror = kind  # pyright: ignore[reportAttributeAccessIssue] - an attribute that it has on Windows only
    return error


def in_use(path: Any) -> bool:
    """Whether this process has the file, or one in the folder, open or mapped into memory."""
    place = os.path.realpath(path)
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    names = {line.partition("/")[2] for line in lines if "/" in line}
    held = {f"/{name}" for name in names}
    for handle in Path("/proc/self/fd").iterdir():
        try:
            held.add(str(handle.readlink()))
        except FileNotFoundError:  # that of this loop
            continue
    return any(name == place or name.startswith(place + os.sep) for name in held)


def make_windows(patch: pytest.MonkeyPatch) -> None:
    """Let this process find what it would find on Windows. Modules that are already imported keep what they have."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system does not say which files are open")
    import fcntl

    for name in ABSENT:
        patch.delattr(os, name, raising=False)
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        patch.setitem(sys.modules, name, None)
    patch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=_locking(fcntl)))
    patch.setattr(shutil, "_use_fd_functions", False)  # Windows opens no folder
    patch.setattr("talewright.files.WAITS", (0.0,))
    _refuse_files_in_use(patch)
    open_file, sync = os.open, os.fsync

    def open_no_folder(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if Path(path).is_dir():
            raise windows_error(DENIED, path)
        return open_file(path, flags, mode, **options)

    def sync_written(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        sync(handle)

    def make_no_link(source: Any, target: Any, *options: Any, **named: Any) -> None:
        raise windows_error(NO_PRIVILEGE, target)

    patch.setattr(os, "open", open_no_folder)
    patch.setattr(os, "fsync", sync_written)
    patch.setattr(os, "symlink", make_no_link)


def _locking(fcntl: Any) -> Callable[[int, int, int], None]:
    def locking(handle: int, mode: int, count: int) -> None:
        """Lock bytes from the position on, which nobody else may then read."""
        position, size = os.lseek(handle, 0, os.SEEK_CUR), os.fstat(handle).st_size
        assert (mode, count) == (2, 1)
        assert position > size, "the file's text would be unreadable"
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise windows_error(SHARED, handle) from None

    return locking


def _refuse_files_in_use(patch: pytest.MonkeyPatch) -> None:
    def guarded(function: Callable[..., None]) -> Callable[..., None]:
        def guard(path: Any, *others: Any, **options: Any) -> None:
            for each in (path, *others):
                if os.path.lexists(each) and in_use(each):
                    raise windows_error(SHARED, each)
            if others and Path(others[0]).is_dir():
                raise windows_error(DENIED, others[0])
            if others and function is rename and os.path.lexists(others[0]):
                raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", others[0])
            function(path, *others, **options)

        return guard

    rename = os.rename
    for name in ("rename", "replace", "unlink", "remove", "rmdir"):
        patch.setattr(os, name, guarded(getattr(os, name)))


def sync_no_folder(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let this process find a file system that cannot sync a folder, and says so by that error."""
    sync = os.fsync

    def sync_file(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(number, os.strerror(number))
        sync(handle)

    patch.setattr(os, "fsync", sync_file)
