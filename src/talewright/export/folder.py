"""The folder of an export or import: what it may replace, and its record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.errors import UserError
from talewright.files import atomic_folder, error_reason
from talewright.locks import wait_for_lock
from talewright.run.new_folder import check_readable

logger = logging.getLogger(__name__)
RECORD = "talewright.json"
"""The record in each exported or imported folder, by which `--overwrite` recognizes what it may replace."""


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise UserError if the folder contains something that may not be replaced."""
    check_readable(folder)
    if folder.is_file():
        raise UserError(f"{folder} is a file; name a folder to write")
    if Path.cwd().is_relative_to(folder.resolve()):  # it is the working folder of a process
        raise UserError(f"{folder} is the folder that this command runs in, or one above it; name another to write")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise UserError(f"{folder} is not empty. --overwrite replaces an earlier export or import")
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder} is not replaced: neither export nor import wrote it (it has no {RECORD})")


@contextmanager
def new_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to write into, which replaces `folder` once the block succeeds. Raises UserError if it cannot.

    Another process that writes the same folder is waited for.
    """
    check_free(folder, overwrite)
    target = folder.resolve()  # `.` has no name
    check_readable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(target, lambda: logger.info("Another command writes %s; waiting for it ...", folder)):
            check_free(folder, overwrite)  # again, after that
            with atomic_folder(target) as partial:
                yield partial
    except OSError as error:
        name = error.filename2 or error.filename or folder  # of a copy, where it was written to
        raise UserError(f"{name} cannot be written: {error_reason(error)}") from None
