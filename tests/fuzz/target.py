"""What a fuzzed reader is, and where its files are."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from talewright.errors import UserError


@dataclass(frozen=True)
class Target:
    """A reader, and valid inputs to start from."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]

    def try_(self, data: bytes) -> bool:
        """Whether it was read; False if it was refused. Any other exception is a bug."""
        try:
            self.read(data)
        except UserError as error:
            message = str(error)
        else:
            return True
        assert 0 < len(message) < 20_000
        return False


@cache
def place() -> Path:
    """A folder for the files of all readers."""
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@contextlib.contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """A file with other bytes, within the context."""
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)
