"""Decompression of .gz and .zst files while they are read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from talewright.data.sources.packages import import_package
from talewright.errors import UserError

COMPRESSED = (".gz", ".zst")
_INPUT_BYTES = 1 << 14


class ByteStream(Protocol):
    """`read(n)` returns at most n bytes, none at the end. Only Parquet needs `seek` as well."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


def decompress(stream: ByteStream, name: str) -> ByteStream:
    """The stream itself, or its decompressed bytes if the file's name ends in .gz or .zst."""
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".gz":
        return cast(ByteStream, gzip.GzipFile(fileobj=cast(BinaryIO, stream)))
    return _ZstandardStream(stream) if suffix == ".zst" else stream


@contextmanager
def damage_errors(name: str) -> Iterator[None]:
    """Turn an error of decompression into a UserError that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{name} is damaged or cut short ({error}); download or make it again") from None


class _ZstandardStream:
    """Decompresses .zst; the library's own reader takes a truncated file for a complete one."""

    def __init__(self, compressed: ByteStream) -> None:
        self._zstandard, self._compressed = import_package("zstandard", ".zst files need"), compressed
        self._frame: Any = None
        self._rest = b""  # of the input, after the end of a frame
        self._ready = io.BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        while not (data := self._ready.read(size)):
            compressed = self._rest or self._compressed.read(_INPUT_BYTES)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return b""
            frame = self._frame or self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = io.BytesIO(frame.decompress(compressed))
            except self._zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
            self._frame, self._rest = (None, frame.unused_data) if frame.eof else (frame, b"")
        return data

    def close(self) -> None:
        self._compressed.close()
