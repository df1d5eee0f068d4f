"""Token shards on disk: `SPLIT-00000.bin` and so on, and where stories start, written so that writing can go on.

A split's tokens are one stream, story, end of text, story, end of text, cut into files of equal length.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from talewright.errors import UserError

SHARD_TOKENS = 1 << 26  # 128 MiB in uint16


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05}.bin"


def starts_name(split: str) -> str:
    return f"{split}-starts.npy"


def sizes_name(split: str) -> str:
    return f"{split}-bytes.npy"


def npy_header(count: int) -> bytes:
    """What an .npy file of so many int64 begins with (NumPy's format 1.0): 128 bytes."""
    words = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({count},), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + words.ljust(117).encode() + b"\n"


@dataclass
class Written:
    """How much of a split is on disk."""

    stories: int = 0
    tokens: int = 0


class ShardWriter:
    """Writes a split's shards and its starts, from where `written` says."""

    def __init__(self, folder: Path, split: str, n_stories: int, dtype: np.dtype, written: Written) -> None:
        self.written = written
        self._folder, self._split, self._dtype = folder, split, dtype
        self._starts = _open_starts(folder / starts_name(split), n_stories, written.stories)
        self._shard = self._open_shard()

    def write(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append stories: their ids back to back, each with its end of text, and how many there are of each."""
        ends = self.written.tokens + np.cumsum(lengths)
        self._starts.write((ends - lengths).astype("<i8").tobytes())
        self.written.stories += len(lengths)
        ids = ids.astype(self._dtype, copy=False)
        while len(ids):
            room = SHARD_TOKENS - self.written.tokens % SHARD_TOKENS
            part, ids = ids[:room], ids[room:]
            self._shard.write(part.tobytes())
            self.written.tokens += len(part)
            if len(part) == room:
                _sync(self._shard)
                self._shard.close()
                self._shard = self._open_shard()

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        _sync(self._starts)
        _sync(self._shard)

    def close(self) -> None:
        self._starts.close()
        self._shard.close()
        if not self.written.tokens % SHARD_TOKENS:  # the last shard was just full, or there is no story
            (self._folder / shard_name(self._split, self.written.tokens // SHARD_TOKENS)).unlink()

    def _open_shard(self) -> BinaryIO:
        number, tokens = divmod(self.written.tokens, SHARD_TOKENS)
        return _open_at(self._folder / shard_name(self._split, number), tokens * self._dtype.itemsize)


def _open_starts(path: Path, n_stories: int, stories: int) -> BinaryIO:
    """A file of the starts of `n_stories`, with so many in it already."""
    if not stories:
        path.write_bytes(npy_header(n_stories))
    return _open_at(path, len(npy_header(n_stories)) + 8 * stories)


def _open_at(path: Path, size: int) -> BinaryIO:
    """A file to append to, after its first `size` bytes."""
    path.touch()
    if path.stat().st_size < size:
        raise UserError(f"{path} is shorter than it was left; remove {path.parent} and begin again")
    os.truncate(path, size)
    return path.open("ab")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
