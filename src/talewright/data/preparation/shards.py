"""Writing the token shards of a split, with the starts and sizes of its stories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from talewright.data import layout
from talewright.data.layout import npy_header, shard_name, sizes_name, starts_name


class ShardWriter:
    """Writes the files of a split from its beginning, over what an interrupted preparation may have left."""

    def __init__(self, folder: Path, split: str, sizes: np.ndarray, dtype: np.dtype) -> None:
        """`sizes` are the bytes of each story's text."""
        self._folder, self._split, self._dtype = folder, split, dtype
        header = npy_header(len(sizes))
        with (folder / sizes_name(split)).open("wb") as file:
            file.write(header + sizes.astype("<i8").tobytes())
            _sync(file)
        self._starts = (folder / starts_name(split)).open("wb")
        self._starts.write(header)
        self._shard: BinaryIO | None = None
        self.tokens = 0

    def write(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append stories: their ids one after another, each with its end of text, and the number of ids of each."""
        ends = self.tokens + np.cumsum(lengths)
        self._starts.write((ends - lengths).astype("<i8").tobytes())
        while len(ids):
            number, used = divmod(self.tokens, layout.SHARD_TOKENS)
            if not used:
                self._close_shard()
                self._shard = (self._folder / shard_name(self._split, number)).open("wb")
            assert self._shard is not None
            some = ids[: layout.SHARD_TOKENS - used]
            self._shard.write(some.astype(self._dtype, copy=False).tobytes())
            self.tokens += len(some)
            ids = ids[len(some) :]

    def close(self) -> None:
        """Wait until everything is on the disk."""
        self._close_shard()
        _sync(self._starts)
        self._starts.close()

    def _close_shard(self) -> None:
        if self._shard is not None:
            _sync(self._shard)
            self._shard.close()
            self._shard = None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
