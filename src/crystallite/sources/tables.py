"""Tables of properties beside crystals: CSV, Parquet or archives, one row for each crystal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import CrystalliteError
from .archive_stream import is_archive
from .schema import is_number

NOTICES = b"notices"  # key in a table's metadata: what whoever imports it should be told, a line each


def read_table(path: Path, id_column: str = "material_id") -> pa.Table:
    """Return a table with the column material_id (text) and then every other column: numbers or text.

    id_column: the column of `path` with the ids; an archive's keys are the ids. Empty cells are missing
    values. Units are in the fields' metadata, notices in the table's. Raises CrystalliteError naming the file
    and the column or row.
    """
    if is_archive(path):
        from .archives import read_properties

        table, notices = read_properties(path)
        return table.replace_schema_metadata({NOTICES: "\n".join(notices).encode()})
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path, id_column)
    if id_column not in table.column_names:
        raise CrystalliteError(
            f"{path}: no column {id_column!r}; name the column of ids with --id-column "
            f"(there are the columns: {', '.join(table.column_names)})"
        )
    columns = {"material_id": _text(table[id_column], path, id_column)}
    for name in table.column_names:
        if name != id_column:
            columns[name] = _number_or_text(table[name], path, name)
    missing = columns["material_id"].is_null().to_numpy()
    if missing.any():
        raise CrystalliteError(f"{path}: column {id_column}, row {int(np.argmax(missing))}: no id")
    return pa.table(columns)


def _read_csv(path: Path, id_column: str) -> pa.Table:
    from pyarrow import csv

    try:
        options = csv.ConvertOptions(column_types={id_column: pa.string()})
        return csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise CrystalliteError(f"{path}: not a readable CSV table: {error}") from None


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise CrystalliteError(f"{path}: not a readable Parquet table: {error}") from None


def _number_or_text(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    if is_number(column.type) or pa.types.is_null(column.type) or pa.types.is_decimal(column.type):
        return column
    return _text(column, path, name)


def _text(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    """Return the column as text; empty text is a missing value."""
    import pyarrow.compute as pc

    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise CrystalliteError(f"{path}: column {name} has the type {column.type}; drop it first") from None
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
