"""The room that a preparation needs on its disk: estimated, and held against what is free before it is filled."""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from talewright.config import DataConfig
from talewright.data.formats import read_records
from talewright.data.shards import token_dtype
from talewright.data.sources import Part, Role, file_part
from talewright.data.unpack import PACKINGS, StoryFile
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.stats import count

STORY_BYTES = 16 + 8 + 8 + 8  # beside a story's text: its digest and size in the spool, its start and size for good
BYTES_A_TOKEN = 4.0  # of English stories and some thousands of tokens; fewer in other languages
_SAMPLE = 1 << 20  # bytes of a file that are read to see what is in it
_UNPACKED = 16 << 20  # bytes that the sample may become when it is unpacked
_FEW = 200  # stories that are read to see how long they are


@dataclass(frozen=True)
class Text:
    """About so many stories, and bytes of their text."""

    stories: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Text) -> Text:
        return Text(self.stories + other.stories, self.bytes + other.bytes)

    def times(self, factor: float) -> Text:
        return Text(self.stories * factor, self.bytes * factor)

    def room(self) -> int:
        """Bytes on the disk when its tokens lie beside it."""
        return int(self.bytes * (1 + 2 / BYTES_A_TOKEN) + self.stories * STORY_BYTES)


def expected(roles: Iterable[Role], config: DataConfig) -> Text | None:
    """What is going to be read; None where that is known only when it was."""
    total = Text()
    for role in roles:
        found = _in_parts(role.parts, config)
        if found is None:
            return None
        total += found.times(min(1.0, role.limit / found.stories) if role.limit and found.stories else 1.0)
    return total


def tokens_room(tokenizer: Tokenizer, sample: list[str], sizes: Iterable[np.ndarray]) -> int:
    """Bytes of the shards and indices of splits whose stories have these sizes, judged by a sample of the stories."""
    counts = count(tokenizer, sample)
    width = token_dtype(tokenizer.vocab_size).itemsize * counts.tokens / max(1, counts.n_bytes)
    return int(sum(width * float(each.sum()) + (width + 16) * len(each) for each in sizes))


def ensure_room(folder: Path, needed: int) -> None:
    """Raise the disk's own error where it has not so many bytes free."""
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, "No space left on device")


def _in_parts(parts: list[Part], config: DataConfig) -> Text | None:
    """Of files with the same ending the first is looked into: there may be thousands."""
    files: dict[str, list[Path]] = {}
    total = Text()
    for part in parts:
        if part.path is not None:
            files.setdefault("".join(part.path.suffixes[-2:]).lower(), []).append(part.path)
        elif part.count is not None:
            total += _like([record or "" for record in islice(part.read(0), _FEW)], part.count)
        else:
            return None
    for paths in files.values():
        total += _in_file(paths[0], config).times(sum(path.stat().st_size for path in paths))
    return total


def _in_file(path: Path, config: DataConfig) -> Text:
    """What a byte of the file holds, judged by its beginning; a byte of text where that does not tell."""
    if path.suffix.lower() == ".parquet":
        return _in_parquet(path, config).times(1 / max(1, path.stat().st_size))
    data, size = _beginning(path)
    name = str(path.with_suffix("") if path.suffix.lower() in PACKINGS else path)
    found = Text()
    try:
        for record in read_records(StoryFile(name, lambda: io.BytesIO(data)), config):
            found += Text(1, len((record or "").encode("utf-8", "replace")))
    except UserError:
        pass  # cut off where it was, or not to be read at all, which is told when it is read
    return found.times(1 / size) if found.bytes else Text(0, 1)


def _beginning(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file, unpacked, and how many they are in the file."""
    try:
        with path.open("rb") as file:
            data = file.read(_SAMPLE)
    except OSError:
        return b"", 1
    size = max(1, len(data))
    if path.suffix.lower() == ".gz":
        unpack = zlib.decompressobj(wbits=31)
        with contextlib.suppress(zlib.error):
            return unpack.decompress(data, _UNPACKED), max(1, size - len(unpack.unconsumed_tail))
    if path.suffix.lower() == ".zst":
        try:
            import zstandard
        except ImportError:  # which is said when it is read
            return b"", 1
        with contextlib.suppress(zstandard.ZstdError):
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(_UNPACKED), size
    return data, size


def _in_parquet(path: Path, config: DataConfig) -> Text:
    """A Parquet file says itself how many rows it has."""
    try:
        part = file_part(StoryFile(str(path), lambda: path.open("rb")), config)
        few = [record or "" for record in islice(part.read(0), _FEW)]
    except UserError:
        return Text()
    from pyarrow.parquet import read_metadata

    return _like(few, read_metadata(path).num_rows)


def _like(few: list[str], count: int) -> Text:
    """So many stories as long as these few."""
    return Text(count, count * sum(len(story.encode("utf-8", "replace")) for story in few) / max(1, len(few)))
