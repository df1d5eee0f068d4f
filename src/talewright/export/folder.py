"""A folder that is put into its place whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.errors import UserError
from talewright.files import atomic_folder

RECORD = "talewright.json"
"""Stands in each folder that an export or an import made: by it `--overwrite` knows its own."""


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise UserError where the folder may not be written: it holds something, and is not ours to replace."""
    if folder.is_file():
        raise UserError(f"{folder} is a file; name a folder to write")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise UserError(f"{folder} is there and not empty; --overwrite replaces an earlier one, or name another folder")
    if not (folder / RECORD).is_file():
        raise UserError(
            f"{folder} was written neither by export nor by import (it has no {RECORD}): it is not replaced"
        )


@contextmanager
def placed(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `folder` to write into, that takes its place when all is well and vanishes when not.

    What stood there before goes only when the new one is whole. Raises UserError where it may not be written.
    """
    check_free(folder, overwrite)
    try:
        with atomic_folder(folder) as partial:
            yield partial
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
