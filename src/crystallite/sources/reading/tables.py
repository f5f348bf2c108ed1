"""Tables of properties beside crystals: CSV, Parquet or archives, one row for each crystal.

Rows of text tables are counted as the file's lines, from 1 with the header; those of Parquet files from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...datasets.columns import Column, column_of, comma_is_decimal
from ...datasets.parquet import open_parquet
from ...datasets.schema import is_number
from ...errors import CrystalliteError
from ...files.csv_tables import meant
from .archive_properties import read_properties
from .archive_stream import is_archive
from .table_rows import LINES, NOTICES
from .text_table import TextTable, described, read_text_table, trimmed


def read_table(path: Path, id_column: str = "material_id") -> pa.Table:
    """Return a table with the column material_id (text) and then every other column: numbers or text.

    id_column: the column of `path` with the ids; an archive's keys are the ids. Ids are text, and so is any
    column of a CSV that has whole numbers with leading zeros (00123) or dates. Empty cells, and words such
    as None and NaN among numbers, are missing values. Units are in the fields' metadata, notices and lines in
    the table's. Raises CrystalliteError naming the file and the column or line.
    """
    if is_archive(path):
        table, notices = read_properties(path)
        return table.replace_schema_metadata({NOTICES: "\n".join(notices).encode()})
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, id_column)
    return _read_text(path, id_column)


class IdValues(NamedTuple):
    """What id_prop.csv holds: ids, a value each or None, the rows' places, and what is wrong, by row."""

    ids: list[str]
    values: list[float | None]
    places: list[str]
    problems: dict[int, str]
    notices: list[str]


def read_id_values(path: Path) -> IdValues:
    """Read a table without a header, id and number per line; raises CrystalliteError if it is empty."""
    table = read_text_table(path)
    if not table.rows:
        raise CrystalliteError(f"{path}: empty; every line needs an id and a value")
    rows = [trimmed(row, 2) for row in table.rows]
    cells = [row[1] if len(row) == 2 else "" for row in rows]
    comma = table.separator != "," and comma_is_decimal([cells])
    values: list[float | None] = []
    problems: dict[int, str] = {}
    for number, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        value, problem = _value(row, cell, comma, table.separator)
        values.append(value)
        if problem:
            problems[number] = problem
    good = [cell if row not in problems else "" for row, cell in enumerate(cells)]
    notices = [*table.notices, *_decided(table, column_of(good, comma=comma), "the values", 0)]
    return IdValues(
        [row[0] for row in rows], values, [table.place(k) for k in range(len(rows))], problems, notices
    )


def read_columns(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the names and the cells of every column of a text table with a header, all of them as text."""
    table = read_text_table(path)
    names, columns, _ = _columns(table)
    return names, columns


def _value(row: list[str], cell: str, comma: bool, separator: str) -> tuple[float | None, str]:
    """Return the value of a row of id_prop.csv and what is wrong with it."""
    if len(row) != 2:
        split = f"{len(row)} columns, separated by {described(separator)}"
        return None, f"{split}, instead of an id and a value (for several values: --table)"
    if not row[0]:
        return None, "no id"
    column = column_of([cell], comma=comma)
    if column.infinite is not None:
        return None, "an infinite value"
    if not is_number(column.values.type) or pa.types.is_boolean(column.values.type):
        return None, f"the value {cell!r} is not a number (the file has no header line)"
    value = column.values[0].as_py()
    return (None if value is None else float(value)), ""


def _read_text(path: Path, id_column: str) -> pa.Table:
    table = read_text_table(path, id_column)
    if not table.rows:
        raise CrystalliteError(f"{path}: empty; a table needs a line with the names of its columns")
    names, columns, notices = _columns(table)
    if id_column not in names:
        raise _no_column(path, id_column, names)
    ids = [meant(text) for text in columns[names.index(id_column)]]
    if "" in ids:
        raise CrystalliteError(f"{table.place(1 + ids.index(''))}, column {id_column}: no id")
    others = {name: cells for name, cells in zip(names, columns, strict=True) if name != id_column}
    comma = table.separator != "," and comma_is_decimal(list(others.values()))
    arrays = {"material_id": pa.array(ids, pa.string())}
    for name, cells in others.items():
        column = column_of(cells, comma=comma)
        if column.infinite is not None:
            place = table.place(1 + column.infinite)
            raise CrystalliteError(
                f"{place}, column {name}: {cells[column.infinite]!r} is an infinite number"
            )
        notices += _decided(table, column, f"column {name}", 1)
        arrays[name] = column.values
    lines = np.array(table.lines[1:], np.int64).tobytes()
    return pa.table(arrays, metadata={NOTICES: "\n".join(notices).encode(), LINES: lines})


def _decided(table: TextTable, column: Column, name: str, first_row: int) -> list[str]:
    """Return notices of what single cells decided, with their places."""
    return [f"{table.place(first_row + row)}, {name}: {sentence}" for row, sentence in column.decisions]


def _columns(table: TextTable) -> tuple[list[str], list[list[str]], list[str]]:
    """Return names, columns of cells, and notices; raises CrystalliteError for an odd header or row."""
    if not table.rows:
        raise CrystalliteError(f"{table.path}: empty; a table needs a line with the names of its columns")
    header = trimmed(table.rows[0], 1)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise CrystalliteError(f"{table.place(0)}: two columns are named {twice[0]}; rename one of them")
    rows = [trimmed(row, len(header)) for row in table.rows[1:]]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise CrystalliteError(
                f"{table.place(number)}: {len(row)} columns, separated by {described(table.separator)}, "
                f"but {len(header)} names in line {table.lines[0]}"
            )
    columns = [[row[place] for row in rows] for place in range(len(header))]
    unnamed = [place for place, name in enumerate(header) if not name]
    notices = [
        f"{table.path.name}: column {k + 1} has no name and is left out" for k in unnamed if any(columns[k])
    ]
    kept = [place for place, name in enumerate(header) if name]
    return [header[k] for k in kept], [columns[k] for k in kept], [*table.notices, *notices]


def _no_column(path: Path, id_column: str, names: Sequence[str]) -> CrystalliteError:
    hint = "" if len(names) > 1 else "; columns are separated by commas, semicolons or tabs"
    return CrystalliteError(
        f"{path}: no column {id_column!r}; name the column of ids with --id-column "
        f"(there are the columns: {', '.join(names)}{hint})"
    )


def _read_parquet(path: Path, id_column: str) -> pa.Table:
    with open_parquet(path) as file:
        table = file.read()
    names = table.column_names
    if id_column not in names:
        raise _no_column(path, id_column, names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CrystalliteError(f"{path}: two columns are named {twice[0]}; rename one of them")
    columns = {"material_id": _text(table[id_column], path, id_column)}
    for name in names:
        if name != id_column:
            columns[name] = _number_or_text(table[name], path, name)
    missing = columns["material_id"].is_null().to_numpy()
    if missing.any():
        raise CrystalliteError(f"{path}: column {id_column}, row {int(np.argmax(missing)) + 1}: no id")
    return pa.table(columns)


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
