"""Files and folders that are whole or absent: atomic writes, atomic folder replacement, locks, hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from talewright.errors import UserError

MAX_JSON_BYTES = 64 << 20
"""A manifest of a hundred thousand shards has a fifth of this."""


class LockedError(UserError):
    """Another process holds the lock."""


def cache_dir() -> Path:
    """Folder for prepared stories and downloads: TALEWRIGHT_CACHE, or ~/.cache/talewright."""
    named = os.environ.get("TALEWRIGHT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "talewright"


def existing_parent(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def error_reason(error: Exception) -> str:
    """What the system says went wrong."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


# --- files ---------------------------------------------------------------------------------------------------------


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all, synced to the disk. Of several processes, the last one wins."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, synced to the disk."""
    write_text_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; None if the file is missing, damaged, or larger than any that Talewright writes."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:  # opening a pipe would block
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- folders -------------------------------------------------------------------------------------------------------


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def reject_outside_links(folder: Path) -> None:
    """Raise UserError if anything in the folder is a link that leads out of it, or a pipe or device.

    A folder from a stranger could use one to have another file read or overwritten, or to block a read forever.
    """
    home = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise UserError(f"{path} is a link that leads out of {folder}. Replace it with the file that it points to")
        if path.exists() and not (path.is_file() or path.is_dir()):  # a training run may delete files meanwhile
            raise UserError(f"{path} is neither a file nor a folder. Remove it from {folder}")


def partial_folder(folder: Path) -> Path:
    """Where a folder is written before it gets its name."""
    return folder.with_name(f".{folder.name}.partial")


def replaced_folder(folder: Path) -> Path:
    """Where the previous version of a folder waits until the new one has its name."""
    return folder.with_name(f".{folder.name}.replaced")


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it replaces `folder` if the block succeeds, and vanishes if it fails.

    A previous `folder` is deleted only after the new one is complete and synced. Raises OSError if the disk does.
    """
    partial, replaced = partial_folder(folder), replaced_folder(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            folder.replace(replaced)
        try:
            publish_folder(partial, folder)
        except OSError:
            if replaced.exists() and not folder.exists():
                replaced.replace(folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def publish_folder(finished: Path, target: Path) -> None:
    """Sync a finished folder to the disk and rename it to `target`, which may exist only as an empty folder."""
    for path in (*finished.rglob("*"), finished):
        _sync(path)
    finished.replace(target)
    _sync(target.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder so that its name never stands for a part of it: rename first, then delete."""
    partial = partial_folder(folder)
    folder.rename(partial)
    shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- locks ---------------------------------------------------------------------------------------------------------


@contextmanager
def wait_for_lock(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder that is about to be made; if another process holds it, call `on_wait` and wait."""
    path = target.with_name(f".{target.name}.lock")
    while True:
        with path.open("w") as file:
            if not lock_file(file, wait=False):
                on_wait()
                lock_file(file, wait=True)
            if _is_open_file(file, path):  # otherwise its previous holder deleted it in the meantime
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


@contextmanager
def refuse_if_locked(path: Path, owner: str, message: Callable[[str], str]) -> Iterator[None]:
    """Hold the lock file `path`, which names its `owner`; the system releases it however the process ends.

    Raises LockedError with `message(owner)` of the current holder, OSError if the file cannot be written.
    """
    with path.open("a+", encoding="utf-8", errors="replace") as file:
        if not lock_file(file, wait=False):
            file.seek(0)
            raise LockedError(message(file.read(200) or "another process"))
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            file.truncate(0)
            file.write(owner)
            file.flush()
        yield


def lock_file(file: IO[Any], wait: bool = False) -> bool:
    """Lock an open file until it is closed; False if another process holds it. True if the system has no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_open_file(file: IO[str], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
