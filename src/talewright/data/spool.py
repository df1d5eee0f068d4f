"""Cleaned stories laid down on disk between reading and tokenising: text, sizes and digests, one set for each role.

What was laid down is kept when reading is interrupted: `State` says up to where it is whole, and the rest is cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from talewright.data.clean import clean
from talewright.data.formats import Record
from talewright.data.splits import DIGEST_BYTES, digest
from talewright.errors import UserError

_BUFFER = 4 << 20  # bytes of text laid down at once


@dataclass
class Counts:
    """What became of the stories that were read."""

    read: int = 0
    empty: int = 0
    short: int = 0
    repaired: int = 0


@dataclass
class State:
    """How far a role has been laid down."""

    part: int = 0
    """The part of the source that is being read."""
    records: int = 0
    """Stories read of that part."""
    stories: int = 0
    bytes: int = 0
    done: bool = False
    counts: Counts = field(default_factory=Counts)


class SpoolWriter:
    """Lays down a role's stories, from where its state says."""

    def __init__(self, folder: Path, name: str, state: State, min_chars: int) -> None:
        self.state = state
        self._min_chars = min_chars
        self._pending: list[bytes] = []
        self._size = 0
        ends = {"text": state.bytes, "sizes": state.stories * 8, "digests": state.stories * DIGEST_BYTES}
        self._files = {kind: _cut_to(folder / f"{name}.{kind}", end) for kind, end in ends.items()}

    def add(self, record: Record) -> None:
        """Clean a story and lay it down, or count why not."""
        state, counts = self.state, self.state.counts
        state.records += 1
        counts.read += 1
        text, repaired = clean(record) if record else ("", False)
        if not text:
            counts.empty += 1
        elif len(text) < self._min_chars:
            counts.short += 1
        else:
            counts.repaired += repaired
            story = text.encode("utf-8")
            self._pending.append(story)
            self._size += len(story)
            if self._size >= _BUFFER:
                self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system, and count it as laid down."""
        sizes = np.fromiter(map(len, self._pending), dtype="<i8", count=len(self._pending))
        self._files["text"].write(b"".join(self._pending))
        self._files["sizes"].write(sizes.tobytes())
        self._files["digests"].write(b"".join(map(digest, self._pending)))
        self.state.stories += len(self._pending)
        self.state.bytes += self._size
        self._pending, self._size = [], 0

    def sync(self) -> None:
        """Flush, and wait until it is on the disk: a state may be written after this that counts on it."""
        self.flush()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _cut_to(path: Path, size: int) -> BinaryIO:
    """A file to append to, after its first `size` bytes."""
    path.touch()
    if path.stat().st_size < size:
        raise UserError(f"{path} is shorter than it was left; remove {path.parents[1]} and begin again")
    os.truncate(path, size)
    return path.open("ab")


class SpooledStories:
    """A role's stories, laid down whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self._text = folder / f"{name}.text"
        self.sizes = _numbers(folder / f"{name}.sizes", np.dtype("<i8"))  # (n,) bytes of each
        self.digests = _numbers(folder / f"{name}.digests", np.dtype("<u8")).reshape(-1, 2)  # (n, 2)

    def read(self, numbers: np.ndarray) -> Iterator[str]:
        """The stories of those numbers, which rise."""
        sizes = self.sizes[numbers]
        starts = np.cumsum(self.sizes)[numbers] - sizes
        with self._text.open("rb", buffering=1 << 20) as file:
            at = 0
            for start, size in zip(starts, sizes, strict=True):
                if start != at:
                    file.seek(start)
                yield file.read(size).decode("utf-8")
                at = start + size


def _numbers(path: Path, dtype: np.dtype) -> np.ndarray:
    if not path.stat().st_size:  # nothing cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)
