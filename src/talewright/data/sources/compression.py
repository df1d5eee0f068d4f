"""Decompression of packed files while they are read. What a file is, its first bytes tell, not its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shlex
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from talewright.data.sources.packages import import_package
from talewright.errors import UserError

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_INPUT_BYTES = 1 << 14
_HEAD_BYTES = 512
_LARGEST_WINDOW = 1 << 31
"""Bytes of memory that a .zst file may need, which `zstd --long=31` asks for."""
_MOST_LAYERS = 4


class _UnsupportedError(Exception):
    """A file that is whole, but cannot be decompressed here. The message follows the file's name."""


class ByteStream(Protocol):
    """`read(n)` returns at most n bytes, none at the end. Only Parquet needs `seek` as well."""

    def read(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


def decompress(stream: ByteStream, name: str) -> ByteStream:
    """The stream itself, from its beginning, or its decompressed bytes if it is compressed, even more than once.

    Raises UserError, naming the file, if it is an archive, no text at all, or not compressed as its name says.
    """
    with damage_errors(name):
        head = _head_of(stream)
        if head and PurePosixPath(name.lower()).suffix in COMPRESSED and not _unpacker(head):
            without = shlex.quote(str(PurePosixPath(name).with_suffix("")))
            raise UserError(
                f"{name} is not compressed, or is damaged at the beginning; if it is plain text despite its name, "
                f"rename it: mv {shlex.quote(name)} {without}"
            )
        for _ in range(_MOST_LAYERS):
            unpack = _unpacker(head)
            if not unpack:
                break
            stream = unpack(_from_beginning(stream, head))
            head = _head_of(stream)
        _refuse_what_is_no_text(head, name)
        return _from_beginning(stream, head)


@contextmanager
def damage_errors(name: str) -> Iterator[None]:
    """Turn an error of decompression into a UserError that names the file."""
    try:
        yield
    except _UnsupportedError as error:
        raise UserError(f"{name} {error}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{name} is damaged or cut short ({error}); download or make it again") from None
    except MemoryError:
        raise UserError(f"{name} needs more memory for decompression than there is; decompress it first") from None


def _unpacker(head: bytes) -> Callable[[ByteStream], ByteStream] | None:
    """What decompresses a file that begins with these bytes; None if it is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return lambda stream: cast(ByteStream, gzip.GzipFile(fileobj=cast(BinaryIO, stream)))
    if head.startswith(b"\x28\xb5\x2f\xfd") or re.match(rb"[\x50-\x5f]\x2a\x4d\x18", head):
        return _ZstandardStream
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head):
        return _Bz2Stream
    if head.startswith(b"\xfd7zXZ\0"):
        return lambda stream: cast(ByteStream, lzma.LZMAFile(cast(BinaryIO, stream)))
    return None


_UNZIP = "unpack it into a folder, and name the folder: unzip {name} -d NEW_FOLDER"
_NO_TEXT: tuple[tuple[bytes, str], ...] = (
    (rb"PK(?:\x03\x04|\x05\x06)", f"a ZIP archive, or a document in one; {_UNZIP}"),
    (
        rb"(?s).{257}ustar",
        "a tar archive; unpack it into a folder, and name the folder: mkdir NEW_FOLDER && tar -xf {name} -C NEW_FOLDER",
    ),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it into a folder, and name the folder: 7z x {name} -oNEW_FOLDER"),
    (rb"Rar!\x1a\x07", "a RAR archive; unpack it into a folder, and name the folder: unrar x {name} NEW_FOLDER/"),
    (rb"\x04\x22\x4d\x18", "compressed by LZ4; decompress it, and name the new file: lz4 -d {name} NEW_FILE"),
    (rb"\x1f\x9d", "compressed by compress; decompress it, and name the new file: gzip -dc {name} > NEW_FILE"),
    (rb"(?s)\x5d\0\0.{9}", "compressed by LZMA; decompress it, and name the new file: xz -dc {name} > NEW_FILE"),
    (rb"%PDF-", "a PDF; make a text file of it, and name that: pdftotext {name} NEW_FILE.txt"),
    (rb"\{\\rtf", "in Rich Text Format; save it as plain text (.txt, UTF-8) with the program that made it"),
    (rb"(?i)\s*(?:<!doctype\s+html|<html[\s>])", "a web page; save its text, or download the file itself again"),
    (rb"version https://git-lfs\.github\.com/", "a Git LFS pointer, not the file; fetch the file: git lfs pull"),
)


def _refuse_what_is_no_text(head: bytes, name: str) -> None:
    head = head.removeprefix(b"\xef\xbb\xbf")
    for pattern, what in _NO_TEXT:
        if re.match(pattern, head):
            raise UserError(f"{name} is {what.replace('{name}', shlex.quote(name))}")


def _head_of(stream: ByteStream) -> bytes:
    head = b""
    while len(head) < _HEAD_BYTES and (more := stream.read(_HEAD_BYTES - len(head))):
        head += more
    return head


def _from_beginning(stream: ByteStream, head: bytes) -> ByteStream:
    """The stream before its head was read."""
    if isinstance(stream, (gzip.GzipFile, lzma.LZMAFile)) or not hasattr(stream, "seek"):
        return _Prefixed(head, stream)
    cast(BinaryIO, stream).seek(0)
    return stream


class _Prefixed:
    """A stream of which the first bytes have been read."""

    def __init__(self, head: bytes, rest: ByteStream) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self._head.read() + self._rest.read()
        return self._head.read(size) or self._rest.read(size)

    def close(self) -> None:
        self._rest.close()


class _Bz2Stream:
    """Decompresses .bz2; what the library calls an OSError is damage."""

    def __init__(self, compressed: ByteStream) -> None:
        self._compressed = compressed
        self._file = bz2.BZ2File(cast(BinaryIO, compressed))

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise EOFError(str(error)) from None

    def close(self) -> None:
        self._compressed.close()


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
            frame = self._frame or self._new_frame()
            try:
                self._ready = io.BytesIO(frame.decompress(compressed))
            except self._zstandard.ZstdError as error:
                raise _zstandard_error(str(error)) from None
            self._frame, self._rest = (None, frame.unused_data) if frame.eof else (frame, b"")
        return data

    def _new_frame(self) -> Any:
        return self._zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()

    def close(self) -> None:
        self._compressed.close()


def _zstandard_error(reason: str) -> Exception:
    if "llocation" in reason:
        return MemoryError(reason)
    if "too much memory" in reason:
        return _UnsupportedError("needs a window of more than 2 GiB; compress it again with zstd --long=31 at most")
    if "ictionary" in reason:
        return _UnsupportedError("was compressed with a dictionary; decompress it with zstd -d -D DICTIONARY")
    return EOFError(reason)
