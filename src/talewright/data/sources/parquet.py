"""Stories in Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from talewright.data.sources import text
from talewright.data.sources.compression import COMPRESSED, ByteStream
from talewright.data.sources.keys import require_key
from talewright.data.sources.packages import import_package
from talewright.errors import UserError


@contextmanager
def open_parquet(stream: ByteStream, name: str) -> Iterator[Any]:
    """The file as a `pyarrow.parquet.ParquetFile`. Raises UserError, naming the file, if it is damaged."""
    pa, pq = (import_package(module, ".parquet files need") for module in ("pyarrow", "pyarrow.parquet"))
    with closing(_seekable(stream, name)) as file:
        try:
            yield pq.ParquetFile(file, pre_buffer=False, buffer_size=text.CHUNK_BYTES)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # an error of the disk or the network
            raise UserError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from None


def read_parquet(stream: ByteStream, name: str, key: str) -> Iterator[str]:
    """The stories in the column `key`."""
    with open_parquet(stream, name) as table:
        import pyarrow as pa

        require_key(table.schema_arrow.names, key, name)
        kind = table.schema_arrow.field(key).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(getattr(pa.types, f"is_{t}")(kind) for t in ("string", "large_string", "string_view", "null")):
            raise UserError(f'{name} column "{key}" holds {kind}, not text; name the right one with --text-key')
        try:
            for batch in table.iter_batches(batch_size=256, columns=[key]):
                yield from (story or "" for story in batch.column(0).to_pylist())
        except UnicodeDecodeError as error:
            raise UserError(f'{name} column "{key}" holds text that is not UTF-8: {error}') from None


def _seekable(stream: ByteStream, name: str) -> Any:
    """Parquet is read from its end, so compressed files are decompressed into a temporary file."""
    if not name.lower().endswith(COMPRESSED):
        return stream
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while data := stream.read(text.CHUNK_BYTES):
        file.write(data)
    file.seek(0)
    return file
