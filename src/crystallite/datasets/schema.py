"""The columns of a dataset's table, and the check that a table read from anywhere has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..crystals.crystal import MAX_ATOMIC_NUMBER, CrystalArrays
from ..errors import CrystalliteError

FORMAT_VERSION = 1
METADATA_PREFIX = "crystallite."
_BLOCK = 1 << 16  # crystals looked at at once
STRUCTURE = pa.schema(
    [
        pa.field("material_id", pa.string(), nullable=False),
        pa.field("lattice", pa.list_(pa.field("element", pa.float64(), nullable=False), 9), nullable=False),
        pa.field("numbers", pa.list_(pa.field("element", pa.uint8(), nullable=False)), nullable=False),
        pa.field("frac_coords", pa.list_(pa.field("element", pa.float64(), nullable=False)), nullable=False),
    ]
)

Bad = Callable[[str, NDArray[np.bool_], str], None]  # column, which rows are bad, why


def checked_table(table: pa.Table, source: str, first_row: int = 0) -> pa.Table:
    """Return `table` with the structure columns first, in the types of STRUCTURE, and every value checked.

    Other columns follow in their order: floats as float64, text as string. Raises CrystalliteError naming
    `source`, the column and the row (counted from 1; `first_row` are before the table's).
    """
    _check_columns(table, source)
    missing = [name for name in STRUCTURE.names if name not in table.column_names]
    if missing:
        raise CrystalliteError(
            f"{source}: no column {', '.join(missing)}; a dataset has {', '.join(STRUCTURE.names)} and any "
            "number of properties. Make one from CIFs with: crystallite data import"
        )
    _check_version(table, source)
    ids = _ids(table, source, first_row)
    structures = _structure_columns(table, source, _rows_named(source, ids, first_row))
    return with_structures(_with_properties(table, ids, source, first_row), structures)


def checked_properties(table: pa.Table, source: str) -> pa.Table:
    """Return what `checked_table` does of material_id and all columns that are not of the structure."""
    _check_columns(table, source)
    return _with_properties(table, _ids(table, source, 0), source, 0)


def with_structures(table: pa.Table, structures: Sequence[pa.Array]) -> pa.Table:
    """Put structure columns, as `structure_arrays` returns them, behind the ids of a table without them."""
    ids, *properties = table.columns
    fields = [*STRUCTURE, *(table.schema.field(k) for k in range(1, len(table.schema)))]
    schema = pa.schema(fields, table.schema.metadata)
    return pa.table([ids, *structures, *properties], schema=schema)


def _with_properties(table: pa.Table, ids: pa.Array, source: str, first_row: int) -> pa.Table:
    """Return a table of the ids and the checked columns that are not of the structure."""
    bad = _rows_named(source, ids, first_row)
    columns, schema = [ids], pa.schema([STRUCTURE.field("material_id")])
    for field in table.schema:
        if field.name not in STRUCTURE.names:
            column = _property_column(table[field.name], field.name, bad)
            schema = schema.append(pa.field(field.name, column.type, metadata=field.metadata))
            columns.append(column)
    return pa.table(columns, schema=schema.with_metadata(table.schema.metadata))


def _rows_named(source: str, ids: pa.Array, first_row: int) -> Bad:
    """Return what raises CrystalliteError for bad rows, naming the first of them."""

    def bad(column: str, rows: NDArray[np.bool_], why: str) -> None:
        if rows.any():
            row = int(np.argmax(rows))
            more = f" (and {rows.sum() - 1} more rows)" if rows.sum() > 1 else ""
            place = f"column {column}, row {first_row + row + 1} ({ids[row]})"
            raise CrystalliteError(f"{source}: {place}: {why}{more}")

    return bad


def property_column(values: Any, name: str) -> pa.Array:
    """Return `values` (numbers, texts or truth values; NaN and None are missing) as an Arrow array.

    Raises CrystalliteError naming the column for other values and for infinite numbers.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    try:
        column = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise CrystalliteError(f"property {name}: {error}; values must be all numbers or all text") from None

    def bad(column: str, rows: NDArray[np.bool_], why: str) -> None:
        if rows.any():
            raise CrystalliteError(f"property {column}, row {int(np.argmax(rows)) + 1}: {why}")

    return _property_column(pa.chunked_array([column]), name, bad)


def as_numpy(array: pa.Array) -> NDArray[Any]:
    """Return an Arrow array of numbers as NumPy's: a read-only view, or a copy with NaN where it has nulls.

    Array.to_numpy would do, but imports pandas for it, a fifth of a second.
    """
    kind = array.type.to_pandas_dtype()
    if pa.types.is_boolean(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    if not len(array):
        return np.empty(0, kind)  # its buffer may be of any size
    values = np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]
    if array.null_count:
        missing = np.unpackbits(np.frombuffer(array.buffers()[0], np.uint8), bitorder="little") == 0
        values = np.where(missing[array.offset : array.offset + len(array)], np.nan, values)
    return values


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can be read as numbers."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _check_columns(table: pa.Table, source: str) -> None:
    """Raise CrystalliteError for two columns of one name, text that is not UTF-8 and lists that are cut."""
    names = _decoded(lambda: table.column_names, f"{source}: the name of a column")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CrystalliteError(f"{source}: there are several columns {twice[0]}; rename or drop all but one")
    for name in names:
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise CrystalliteError(f"{source}: column {name}: not readable: {error}") from None
    for field in table.schema:
        unit = (field.metadata or {}).get(b"unit", b"")
        _decoded(unit.decode, f"{source}: the unit of column {field.name}")
    for key, value in (table.schema.metadata or {}).items():
        if key.startswith(METADATA_PREFIX.encode()):
            _decoded((key + value).decode, f"{source}: its metadata")


def _decoded(read: Callable[[], Any], what: str) -> Any:
    try:
        return read()
    except UnicodeDecodeError:
        raise CrystalliteError(f"{what} is not text in UTF-8") from None


def _check_version(table: pa.Table, source: str) -> None:
    version = (table.schema.metadata or {}).get(f"{METADATA_PREFIX}format".encode(), b"1").decode()
    if version != str(FORMAT_VERSION):
        raise CrystalliteError(
            f"{source}: dataset format {version}, but this version of crystallite reads format "
            f"{FORMAT_VERSION}; update crystallite"
        )


def _ids(table: pa.Table, source: str, first_row: int) -> pa.Array:
    ids = table["material_id"].combine_chunks()
    if ids.type != pa.string():
        try:
            ids = ids.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise CrystalliteError(
                f"{source}: column material_id has the type {ids.type}; ids are text or whole numbers"
            ) from None
    if ids.null_count:
        row = int(np.argmax(ids.is_null().to_numpy(zero_copy_only=False)))
        raise CrystalliteError(
            f"{source}: column material_id, row {first_row + row + 1}: no value; crystals need an id"
        )
    return ids


def _structure_columns(table: pa.Table, source: str, bad: Bad) -> list[pa.Array]:
    """Return the lattice, numbers and frac_coords columns in their types."""
    lattice, lengths = _flat(table, "lattice", source, bad)
    bad("lattice", lengths != 9, "a lattice is 9 numbers, the three vectors one after another in Å")
    numbers, n_atoms = _flat(table, "numbers", source, bad)
    bad("numbers", n_atoms == 0, "no atoms")
    coords, n_coords = _flat(table, "frac_coords", source, bad)
    bad("frac_coords", n_coords != 3 * n_atoms, "three coordinates are needed for every atom in numbers")

    lattices = lattice.astype(np.float64, copy=False).reshape(-1, 3, 3)
    rows = np.arange(len(lattices) + 1)
    infinite = _rows_with(lattices, rows, lambda part: ~np.isfinite(part).all(axis=(1, 2)))
    bad("lattice", infinite, "not a finite number")
    bad("lattice", _rows_with(lattices, rows, _without_volume), "the cell has no volume")
    offsets = _offsets(n_atoms)
    known = np.arange(1, MAX_ATOMIC_NUMBER + 1)
    outside = _rows_with(numbers, offsets, lambda part: np.isin(part, known, invert=True))
    bad("numbers", outside, f"not an atomic number from 1 to {MAX_ATOMIC_NUMBER}")
    coords = coords.astype(np.float64, copy=False)
    bad(
        "frac_coords",
        _rows_with(coords, 3 * offsets, lambda part: ~np.isfinite(part)),
        "not a finite number",
    )
    return structure_arrays(lattices, offsets, numbers.astype(np.uint8, copy=False), coords)


def structure_arrays(
    lattices: NDArray[np.float64],
    offsets: NDArray[np.int64],
    numbers: NDArray[np.uint8],
    frac_coords: NDArray[np.float64],
) -> list[pa.Array]:
    """Return lattice, numbers and frac_coords columns over the same memory as the arrays."""
    lattice, number, coord = (STRUCTURE.field(name).type for name in STRUCTURE.names[1:])
    if offsets[-1] * 3 > np.iinfo(np.int32).max:
        raise CrystalliteError("more than 700 million atoms in one table: write it in parts, one file each")
    starts = offsets.astype(np.int32)
    return [
        pa.FixedSizeListArray.from_arrays(as_arrow(lattices, pa.float64()), type=lattice),
        pa.ListArray.from_arrays(as_arrow(starts, pa.int32()), as_arrow(numbers, pa.uint8()), type=number),
        pa.ListArray.from_arrays(
            as_arrow(3 * starts, pa.int32()), as_arrow(frac_coords, pa.float64()), type=coord
        ),
    ]


def crystal_arrays(table: pa.Table) -> CrystalArrays:
    """Return the crystals of a checked table as flat arrays, views of its memory."""
    lattices, numbers, coords = (list_values(_whole(table[name])) for name in STRUCTURE.names[1:])
    return CrystalArrays(lattices[0].reshape(-1, 3, 3), numbers[1], numbers[0], coords[0].reshape(-1, 3))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece; combine_chunks would copy also the only one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def list_values(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a list column's values in one array, and the (N + 1,) offsets of the rows in it."""
    if isinstance(column.type, pa.FixedSizeListType):
        offsets = np.arange(column.offset, column.offset + len(column) + 1) * column.type.list_size
    else:
        offsets = as_numpy(column.offsets).astype(np.int64)
    return as_numpy(column.values)[offsets[0] : offsets[-1]], offsets - offsets[0]


def as_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return an array over the same memory; pa.array would do, but imports pandas for it."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(values)])


def _flat(table: pa.Table, name: str, source: str, bad: Bad) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a list column's values in one array and the number of values in every row."""
    column = _whole(table[name])
    kinds = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)
    if not (isinstance(column.type, kinds) and is_number(column.type.value_type)):
        raise CrystalliteError(
            f"{source}: column {name} has the type {column.type}; each crystal needs a list of numbers"
        )
    if column.null_count:
        bad(name, column.is_null().to_numpy(zero_copy_only=False), "no value")
    values, offsets = list_values(column)
    return values, np.diff(offsets)


def _property_column(column: pa.ChunkedArray, name: str, bad: Bad) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column if column.type == pa.float64() else column.cast(pa.float64())
        infinite = np.concatenate([np.isinf(as_numpy(chunk)) for chunk in column.chunks] or [[]])
        bad(name, infinite.astype(bool), "an infinite number; leave the value out if it is missing")
    elif pa.types.is_large_string(column.type) or column.type == pa.string_view():
        column = column.cast(pa.string())
    return column.combine_chunks()


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _rows_with(
    values: NDArray[Any], offsets: NDArray[np.int64], is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return for every row whether one of its values is bad, looking at _BLOCK rows at a time.

    values: those of row k are offsets[k] to offsets[k + 1].
    """
    rows = np.zeros(len(offsets) - 1, bool)
    for first in range(0, len(rows), _BLOCK):
        bounds = offsets[first : first + _BLOCK + 1]
        flags = is_bad(values[bounds[0] : bounds[-1]])
        if flags.any():
            counts = np.concatenate([[0], np.cumsum(flags)])[bounds - bounds[0]]
            rows[first : first + _BLOCK] = np.diff(counts) > 0
    return rows


def _without_volume(lattices: NDArray[np.float64]) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(lattices, axis=2).prod(axis=1)
    return np.asarray(np.abs(np.linalg.det(lattices)) < 1e-3 * np.maximum(lengths, 1.0))
