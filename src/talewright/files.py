"""Files and folders that are whole or absent: atomic writes, atomic folder replacement, hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import list2cmdline
from typing import Any

from talewright.errors import UserError

MAX_JSON_BYTES = 64 << 20
"""A manifest of a hundred thousand shards has a fifth of this."""
IN_USE = (5, 32)
"""Windows' error numbers for a file that another program has open: denied, and shared."""
WAITS = (0.01, 0.05, 0.2, 0.5)
"""Seconds to wait for such a program before each new try."""
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows the first dot."""


def cache_dir() -> Path:
    """Folder for prepared stories and downloads: TALEWRIGHT_CACHE, or ~/.cache/talewright.

    Raises UserError if there is no home folder.
    """
    if named := os.environ.get("TALEWRIGHT_CACHE"):
        return expand_home(named)
    try:
        return Path.home() / ".cache" / "talewright"
    except RuntimeError:
        raise UserError("there is no home folder to keep prepared stories in; set TALEWRIGHT_CACHE to one") from None


def expand_home(path: str | Path) -> Path:
    """The path with the home folder in place of its `~` or `~user`, unless there is such a name as it is.

    A `~name` of no user is a name as any other. Raises UserError if there is no home folder.
    """
    path = Path(path)
    if os.path.lexists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        if path.parts[0] != "~":
            return path
        raise UserError(f"{path}: there is no home folder here; write the full path in place of ~") from None


def existing_parent(path: Path) -> Path:
    """The path itself, or its nearest parent that exists; the working directory if its drive does not exist."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path())


def portable_name(name: str) -> str:
    """The name as one that every system accepts for a file or folder: Windows forbids some characters and words."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", name).rstrip(". ")
    return f"_{name}" if not name or DEVICES.match(name) else name


def shell_word(text: str) -> str:
    """A path, or another word of a command, as it is typed into this system's shell."""
    return list2cmdline([text]) if sys.platform == "win32" else shlex.quote(text)


def error_reason(error: Exception) -> str:
    """What the system says went wrong."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write; it replaces `path` if the block succeeds, and vanishes if it fails.

    Of several processes, the last one wins.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        rename(part, path)
    finally:
        with contextlib.suppress(OSError):  # of a file that is not there, a read-only disk says that it is read-only
            part.unlink()


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all, synced to the disk. Of several processes, the last one wins.

    What stands in a file's name for bytes that are not UTF-8 becomes "?".
    """
    with atomic_file(path) as part, part.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def rename(source: Path, target: Path) -> None:
    """Rename a file, over another if there is one, or a folder. If Windows says that it is in use, wait a little."""
    for wait in (*WAITS, None):
        try:
            source.replace(target)
            return
        except OSError as error:
            if wait is None or getattr(error, "winerror", None) not in IN_USE:
                raise
            time.sleep(wait)


def json_text(value: Any, **options: Any) -> str:
    """The value as JSON, with the options of `json.dumps`.

    A number that is not finite, which JSON lacks, becomes null; an object that holds it lists its name under
    `not_finite`. What stands in a file's name for bytes that are not UTF-8, and so cannot be written, is escaped.
    """
    try:
        text = json.dumps(value, allow_nan=False, **options)
    except ValueError:  # rare, so that only then the values are looked through
        text = json.dumps(_finite(value), allow_nan=False, **options)
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        lost = [name for name, each in value.items() if isinstance(each, float) and not math.isfinite(each)]
        flag = {"not_finite": [*value.get("not_finite", []), *lost]} if lost else {}
        return {name: _finite(each) for name, each in value.items()} | flag
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, synced to the disk."""
    write_text_atomic(path, json_text(value, indent=1, ensure_ascii=False) + "\n")


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
            rename(folder, replaced)
        try:
            publish_folder(partial, folder)
        except OSError:
            if replaced.exists() and not folder.exists():
                rename(replaced, folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def publish_folder(finished: Path, target: Path) -> None:
    """Sync a finished folder to the disk and rename it to `target`, which may exist only as an empty folder."""
    for path in (*finished.rglob("*"), finished):
        _sync(path)
    if target.is_dir():
        target.rmdir()  # Windows renames over no folder
    rename(finished, target)
    _sync(target.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder so that its name never stands for a part of it: rename first, then delete."""
    partial = partial_folder(folder)
    rename(folder, partial)
    shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file is on the disk; a folder's list of names too, where the system can."""
    if path.is_dir():
        with contextlib.suppress(OSError):  # Windows opens no folder, and some network file systems sync none
            _open_and_sync(path, os.O_RDONLY)
        return
    try:
        _open_and_sync(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        _open_and_sync(path, os.O_RDWR)  # Windows syncs only what is open for writing


def _open_and_sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
