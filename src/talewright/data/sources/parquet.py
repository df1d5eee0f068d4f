"""Stories in Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from talewright.data.sources import text
from talewright.data.sources.compression import ByteStream
from talewright.data.sources.keys import require_key
from talewright.data.sources.packages import import_package
from talewright.errors import UserError

_TEXTS = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null")
"""Kinds of columns that hold texts; older programs write texts as binary."""
_ROWS = 256
"""Rows read at once."""


@contextmanager
def open_parquet(stream: ByteStream, name: str) -> Iterator[Any]:
    """The file as a `pyarrow.parquet.ParquetFile`. Raises UserError, naming the file, if it is damaged."""
    pa, pq = (import_package(module, ".parquet files need") for module in ("pyarrow", "pyarrow.parquet"))
    with closing(_seekable(stream)) as file:
        try:
            yield pq.ParquetFile(file, pre_buffer=False, buffer_size=text.CHUNK_BYTES)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # an error of the disk or the network
            raise UserError(f"{name} cannot be read as Parquet: {' '.join(str(error).split())}") from None


def read_parquet(stream: ByteStream, name: str, key: str) -> Iterator[str]:
    """The stories in the column `key`; `outer.inner` is a field of a column of structs."""
    with open_parquet(stream, name) as table:
        column, path = _column(table.schema_arrow, key, name)
        row = 0
        try:
            for batch in table.iter_batches(batch_size=_ROWS, columns=[".".join((column, *path))]):
                for value in batch.column(0).to_pylist():
                    for field in path:
                        value = value and value[field]
                    yield value.decode() if isinstance(value, bytes) else value or ""
                row += len(batch)
        except UnicodeDecodeError as error:
            last = min(row + _ROWS, table.metadata.num_rows)
            raise UserError(
                f'{name} column "{key}": a text in rows {row + 1:,} to {last:,} is not UTF-8 ({error.reason}: byte '
                f"0x{error.object[error.start]:02X}); write the column as UTF-8"
            ) from None


def column_names(schema: Any) -> list[str]:
    """The columns of a schema; the fields of a column of structs as `outer.inner`."""
    import pyarrow as pa

    names = []
    for field in schema:
        inner = column_names(field.type) if pa.types.is_struct(field.type) else []
        names += [f"{field.name}.{each}" for each in inner] or [field.name]
    return names


def _column(schema: Any, key: str, name: str) -> tuple[str, list[str]]:
    """The column of a key, and the names of the fields within its structs. Raises UserError unless it holds texts."""
    import pyarrow as pa

    there = column_names(schema)
    require_key(schema.names if key in schema.names else there, key, name)
    column, path = (key, []) if key in schema.names else (key.split(".")[0], key.split(".")[1:])
    if column not in schema.names:
        raise UserError(f'{name} column "{key}" has dots in a name within a struct; give it another name')
    kind = schema.field(column).type
    for field in path:
        kind = kind.field(field).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(getattr(pa.types, f"is_{test}")(kind) for test in _TEXTS):
        others = [each for each in there if each != key]
        advice = "name the right one with --text-key" if others else "make one of texts"
        raise UserError(f'{name} column "{key}" holds {kind}, not text; {advice}')
    return column, path


def _seekable(stream: ByteStream) -> Any:
    """Parquet is read from its end, so compressed files are decompressed into a temporary file."""
    if hasattr(stream, "seek"):
        return stream
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while data := stream.read(text.CHUNK_BYTES):
        file.write(data)
    file.seek(0)
    return file
