"""Cleaned stories on disk between reading and tokenizing: text, sizes and digests, one file of each per input.

An interrupted preparation keeps the source files that it has staged whole; the rest is cut off and read again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from talewright.config import DataConfig
from talewright.data.layout import DAMAGE
from talewright.data.preparation.clean import clean
from talewright.data.preparation.deduplicate import DIGEST_BYTES, digest
from talewright.data.preparation.flaws import find_flaws
from talewright.errors import UserError

_BUFFER = 4 << 20  # bytes of text


@dataclass
class StagedCounts:
    """What was read and staged of an input."""

    files: int = 0
    """Source files, whole or up to the limit."""
    stories: int = 0
    bytes: int = 0
    read: int = 0
    empty: int = 0
    short: int = 0
    repaired: int = 0
    damaged: int = 0
    """Left out because characters are lost or misread."""
    lost: int = 0
    """From here on: what stories that were kept have, as FLAWS lists it."""
    misread: int = 0
    control: int = 0
    invisible: int = 0
    markup: int = 0


class StagingWriter:
    """Appends an input's stories to those that `counts` says are staged."""

    def __init__(self, folder: Path, name: str, counts: StagedCounts, data: DataConfig) -> None:
        self.counts = counts
        self._min_chars, self._drop_damaged = data.min_chars, data.drop_damaged
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        sizes = {"text": counts.bytes, "sizes": counts.stories * 8, "digests": counts.stories * DIGEST_BYTES}
        self._files = {kind: _open_at(folder / f"{name}.{kind}", size) for kind, size in sizes.items()}

    def add(self, record: str) -> None:
        """Clean a story and stage it, or count why it is left out."""
        counts = self.counts
        counts.read += 1
        text, repaired = clean(record)
        if not text:
            counts.empty += 1
        elif len(text) < self._min_chars:
            counts.short += 1
        else:
            self._stage(text, repaired)

    def _stage(self, text: str, repaired: bool) -> None:
        story, counts = text.encode("utf-8"), self.counts
        flaws = find_flaws(text, story)
        damaged = not {*DAMAGE}.isdisjoint(flaws)
        if self._drop_damaged and damaged:
            counts.damaged += 1
        else:
            counts.repaired += repaired and not damaged  # what is mended in part is no repaired story
            for flaw in flaws:
                setattr(counts, flaw, getattr(counts, flaw) + 1)
            self._pending.append(story)
            self._pending_bytes += len(story)
            if self._pending_bytes >= _BUFFER:
                self.flush()

    def flush(self) -> None:
        sizes = np.fromiter(map(len, self._pending), dtype="<i8", count=len(self._pending))
        self._files["text"].write(b"".join(self._pending))
        self._files["sizes"].write(sizes.tobytes())
        self._files["digests"].write(b"".join(map(digest, self._pending)))
        self.counts.stories += len(self._pending)
        self.counts.bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0

    def sync(self) -> None:
        """Wait until what was flushed is on the disk."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _open_at(path: Path, size: int) -> BinaryIO:
    """A file to append to after its first `size` bytes."""
    path.touch()
    if path.stat().st_size < size:
        raise _damaged(path)
    os.truncate(path, size)
    return path.open("ab")


class StagedStories:
    """An input's stories, all of them staged."""

    def __init__(self, folder: Path, name: str, counts: StagedCounts) -> None:
        self._text = folder / f"{name}.text"
        self.sizes = _map(folder / f"{name}.sizes", np.dtype("<i8"))  # (n,) bytes of each
        self.digests = _map(folder / f"{name}.digests", np.dtype("<u8")).reshape(-1, 2)  # (n, 2)
        if not len(self.sizes) == len(self.digests) == counts.stories or self._text.stat().st_size != counts.bytes:
            raise _damaged(self._text)

    def read(self, indices: np.ndarray) -> Iterator[str]:
        """The stories of these indices, which ascend."""
        sizes = self.sizes[indices]
        starts = np.cumsum(self.sizes)[indices] - sizes
        with self._text.open("rb", buffering=1 << 20) as file:
            position = 0
            for start, size in zip(starts, sizes, strict=True):
                if start != position:
                    file.seek(start)
                yield file.read(size).decode("utf-8")
                position = start + size


def _map(path: Path, dtype: np.dtype) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} has changed since it was written. Remove {path.parents[1]} and prepare again")
