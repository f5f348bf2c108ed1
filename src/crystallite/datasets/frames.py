"""The crystals in a pandas DataFrame, as `Dataset.to_pandas` lays them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..errors import CrystalliteError
from .schema import STRUCTURE


def ids_and_columns(frame: Any) -> tuple[Iterable[Any], dict[str, Any]]:
    """Return the ids of a DataFrame, its column material_id or else its index, and its other columns by name.

    Raises CrystalliteError for two columns of one name.
    """
    names = [str(column) for column in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CrystalliteError(f"the DataFrame has several columns {twice[0]}; rename or drop all but one")
    columns = {name: frame[column] for name, column in zip(names, frame.columns, strict=True)}
    return columns.pop("material_id", frame.index), columns


def crystal_table(columns: Mapping[str, Any], ids: Sequence[str], structures: str) -> pa.Table:
    """Return the ids and the columns lattice, numbers and frac_coords as an Arrow table, not yet checked.

    Args:
        columns: Name -> values, such as a pandas Series.
        ids: The material id of each row.
        structures: Name of the column that could have held the crystals instead.

    Raises:
        CrystalliteError: A column is missing or not a list of numbers for each crystal; it is named.
    """
    names = STRUCTURE.names[1:]
    missing = [name for name in names if name not in columns]
    if missing:
        raise CrystalliteError(
            f"the DataFrame has no column {structures} of structures (structures= names another), "
            f"and no {', '.join(missing)} in its place"
        )
    arrays = [pa.array(ids, pa.string()), *(_lists(columns[name], name) for name in names)]
    return pa.table(arrays, names=STRUCTURE.names)


def _lists(values: Any, name: str) -> pa.Array:
    try:
        column = pa.array(values, from_pandas=True)
    except pa.ArrowException as error:
        raise CrystalliteError(
            f"column {name} of the DataFrame: {error}; each crystal needs a flat list of numbers"
        ) from None
    # Without a single value there is no type to tell.
    return column.cast(pa.list_(pa.float64())) if pa.types.is_null(column.type) else column
