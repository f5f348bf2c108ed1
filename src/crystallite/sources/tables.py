"""Tables of properties beside crystals: CSV, Parquet or archives, one row for each crystal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import CrystalliteError
from .archive_stream import is_archive
from .parquet import open_parquet
from .schema import is_number

NOTICES = b"notices"  # key in a table's metadata: what whoever imports it should be told, a line each


def read_table(path: Path, id_column: str = "material_id") -> pa.Table:
    """Return a table with the column material_id (text) and then every other column: numbers or text.

    id_column: the column of `path` with the ids; an archive's keys are the ids. Ids are text, and so is any
    column of a CSV that has whole numbers with leading zeros (00123) or dates. Empty cells are missing
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

    def read(as_text: Iterable[str]) -> pa.Table:
        types = dict.fromkeys(as_text, pa.string())
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))

    try:
        table = read([id_column])
        doubtful = [field.name for field in table.schema if _may_be_text(field.type)]
        text = read([id_column, *doubtful]) if doubtful else table
    except (ValueError, OSError) as error:  # ValueError: Arrow's errors, and text that is not UTF-8
        raise CrystalliteError(f"{path}: not a readable CSV table: {error}") from None
    for name in doubtful:
        if not pa.types.is_integer(table.schema.field(name).type) or _has_leading_zeros(text[name]):
            table = table.set_column(table.column_names.index(name), name, text[name])
    return table


def _may_be_text(kind: pa.DataType) -> bool:
    """Whether what a CSV reader takes for this type may be ids, such as 00123, or dates."""
    return bool(pa.types.is_integer(kind) or pa.types.is_temporal(kind))


def _has_leading_zeros(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(column, r"^\s*[+-]?0\d")).as_py())


def _read_parquet(path: Path) -> pa.Table:
    with open_parquet(path) as file:
        return file.read()


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
