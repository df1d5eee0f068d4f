"""The bytes of a file: plain, or unpacked from .gz or .zst while they are read."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from talewright.errors import UserError

PACKINGS = (".gz", ".zst")
PIECE = 1 << 20
"""Bytes that are read at once."""


class Input(Protocol):
    """What is read: `read(n)` gives at most n bytes, none at the end; `seek` is asked for by Parquet alone."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class StoryFile:
    """A file of stories, on disk or on the hub."""

    name: str
    """What it is called in messages, and what its ending says of its format."""
    open: Callable[[], Input]
    """Opens its bytes."""


def unpacked(file: StoryFile) -> Input:
    """The file's bytes, unpacked where its name says that they are packed."""
    packing = PurePosixPath(file.name.lower()).suffix
    if packing == ".gz":
        return cast(Input, gzip.GzipFile(fileobj=cast(BinaryIO, file.open())))
    return _Zstandard(file.open()) if packing == ".zst" else file.open()


class _Zstandard:
    """A .zst file unpacked; the library's own reader takes a file that was cut short for its end."""

    def __init__(self, packed: Input) -> None:
        try:
            import zstandard
        except ImportError:
            raise UserError('.zst files need a package more: pip install "talewright[data]"') from None
        self._zstandard, self._packed = zstandard, packed
        self._frame: Any = None
        self._ready = io.BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        while not (found := self._ready.read(size)):
            rest = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            piece = rest or self._packed.read(1 << 14)
            if not piece:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the last frame has no end")
                return b""
            if self._frame is None or self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = io.BytesIO(self._frame.decompress(piece))
            except self._zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
        return found

    def close(self) -> None:
        self._packed.close()


def seekable(stream: Input) -> Any:
    """Parquet is read from its end: what cannot seek is unpacked into a file that goes when it is closed."""
    if isinstance(stream, (gzip.GzipFile, _Zstandard)):
        whole = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        while piece := stream.read(PIECE):
            whole.write(piece)
        whole.seek(0)
        return whole
    return stream
