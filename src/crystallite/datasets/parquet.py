"""Reading and writing a dataset's table as Parquet: one file, or a folder of parts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from ..errors import CrystalliteError, first_line
from ..files.writing import atomic_path, irregular
from .parquet_paths import parts
from .schema import STRUCTURE, checked_properties, checked_table

CHECKSUM = b"columns_crc32"  # key of the file's metadata
_NOT_COUNTED = (CHECKSUM, b"PARQUET:", b"ARROW:")  # what Arrow adds
HIVE_MISSING = "__HIVE_DEFAULT_PARTITION__"
ROW_GROUP = 8192  # crystals; what a streaming reader decompresses at a time
COMPRESSION_LEVEL = 3  # zstd; 19 makes a file about a fifth smaller and is fifty times slower to write


def read_parquet(path: Path) -> pa.Table:
    """Read and check the table of a Parquet file or of a folder of them.

    A folder named `column=value` on the way to a part becomes a text column, as Hive, DuckDB and Spark write
    it. Raises CrystalliteError naming file, column and row.
    """
    return _joined([checked_table(_read_part(part, path), str(part)) for part in parts(path)], path)


def read_properties(path: Path) -> pa.Table:
    """Read what read_parquet does, without the crystals: material_id and the properties."""
    tables = []
    for part in parts(path):
        with open_parquet(part) as file:
            schema = _without_checksum(file.schema_arrow.empty_table(), part).schema
            structure = STRUCTURE.names[1:]
            table = file.read(columns=[name for name in schema.names if name not in structure])
        table = _with_partition(table.replace_schema_metadata(schema.metadata), part, path)
        tables.append(checked_properties(table, str(part)))
    return _joined(tables, path)


def _joined(tables: list[pa.Table], path: Path) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise CrystalliteError(f"{path}: the parts do not fit together: {error}") from None


def iter_tables(path: Path, rows: int) -> Iterator[pa.Table]:
    """Read `path` as read_parquet does, in checked tables of at most `rows` crystals, one at a time."""
    for part in parts(path):
        with open_parquet(part) as file:
            first_row = 0
            for batch in _batches(file, rows):
                table = _without_checksum(pa.Table.from_batches([batch], file.schema_arrow), part)
                table = _with_partition(table, part, path)
                yield checked_table(table, str(part), first_row)
                first_row += len(batch)


def n_rows(path: Path) -> int:
    """Return how many crystals a Parquet file or a folder of them has."""
    count = 0
    for part in parts(path):
        with open_parquet(part) as file:
            count += file.metadata.num_rows
    return count


def _batches(file: pa.parquet.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `rows`, a few row groups at a time: Arrow keeps what it has read of a call."""
    groups: list[int] = []
    n_rows = 0
    for group in range(file.num_row_groups):
        groups.append(group)
        n_rows += file.metadata.row_group(group).num_rows
        if n_rows >= rows or group == file.num_row_groups - 1:
            yield from file.iter_batches(batch_size=rows, row_groups=groups)
            groups, n_rows = [], 0


def write_parquet(table: pa.Table, path: Path, level: int = COMPRESSION_LEVEL) -> None:
    """Write `table` to `path` in one step: a reader sees the old file or the whole new one, never a piece."""
    with parquet_writer(path, table.schema, level) as write:
        write(table)


@contextmanager
def parquet_writer(
    path: Path, schema: pa.Schema, level: int = COMPRESSION_LEVEL
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that adds tables of this schema to a file, which is at `path` when the block ends.

    A row group has no rows of two tables, and ROW_GROUP at most.
    """
    import pyarrow.parquet as pq

    schema = schema.with_metadata({**(schema.metadata or {}), CHECKSUM: _checksum(schema)})
    # Measured on the built-in sets: plain values under zstd are 20 to 30 % smaller than with a dictionary or
    # byte-stream-split, because coordinates repeat in patterns longer than one value.
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            compression_level=level,
            use_dictionary=False,
            write_page_checksum=True,
        ) as writer,
    ):

        def write(table: pa.Table) -> None:
            writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=ROW_GROUP)

        yield write


@contextmanager
def open_parquet(path: Path) -> Iterator[pa.parquet.ParquetFile]:
    """Open a Parquet file; inside the block, whatever makes it unreadable is a CrystalliteError.

    Pages are checked against their checksums, as far as there are any.
    """
    import pyarrow.parquet as pq

    is_here = isinstance(path, Path)  # else in object storage
    if is_here and (reason := irregular(path)):
        raise CrystalliteError(f"{path}: not a readable Parquet file: {reason}")
    try:
        with pq.ParquetFile(path if is_here else path.open("rb"), page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:  # ValueError: also bad UTF-8
        reason = first_line(error)
        raise CrystalliteError(f"{path}: not a readable Parquet file, or damaged: {reason}") from error


def _read_part(part: Path, root: Path) -> pa.Table:
    with open_parquet(part) as file:
        return _with_partition(_without_checksum(file.read(), part), part, root)


def _checksum(schema: pa.Schema) -> bytes:
    """CRC-32 of names, types and units of the columns and what the file says of itself.

    Parquet has checksums of the values alone.
    """

    def pairs(metadata: dict[bytes, bytes] | None) -> list[tuple[bytes, bytes]]:
        return sorted(
            (key, value) for key, value in (metadata or {}).items() if not key.startswith(_NOT_COUNTED)
        )

    fields = [(field.name, str(field.type), pairs(field.metadata)) for field in schema]
    return b"%08x" % zlib.crc32(repr((fields, pairs(schema.metadata))).encode(errors="backslashreplace"))


def _without_checksum(table: pa.Table, part: Path) -> pa.Table:
    """Take off what `parquet_writer` added; raises CrystalliteError if it does not fit."""
    metadata = dict(table.schema.metadata or {})
    if metadata.pop(CHECKSUM, None) not in (None, _checksum(table.schema)):
        raise CrystalliteError(f"{part}: damaged: its columns are not those that were written")
    return table.replace_schema_metadata(metadata)


def _with_partition(table: pa.Table, part: Path, root: Path) -> pa.Table:
    for folder in part.relative_to(root).parts[:-1]:
        name, separator, value = folder.partition("=")
        if separator and name not in table.column_names:
            text = None if value == HIVE_MISSING else unquote(value)
            table = table.append_column(name, pa.array([text] * len(table), pa.string()))
    return table
