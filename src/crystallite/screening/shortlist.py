"""The best crystals of a screening, as a table and as a dataset with their structures.

DuckDB reads the predictions where they lie, in memory that does not grow with their number; conditions and
orders are its SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..computing.processes import Pending, map_ahead
from ..computing.progress import progress_bar
from ..errors import CrystalliteError
from ..extras import needed
from ..files.distinct_names import DistinctNames
from ..files.typed_tables import Column, table_writer
from ..sources.pieces import Piece
from ..sources.reading.crystal_pile import CrystalPile
from .engine import Engine
from .results import Results
from .work import Listed, Picked, moved

SHORTLIST = "shortlist"  # .csv and .parquet


class Choice(NamedTuple):
    """Which crystals are wanted: a condition, an order, the best first, and how many; SQL of DuckDB."""

    where: str = ""
    by: str = ""
    top: int | None = None

    def __bool__(self) -> bool:
        return any(self)


NO_CHOICE = Choice()


def check_choice(choice: Choice, columns: Sequence[Column]) -> None:
    """Raise CrystalliteError for a condition or an order that makes no sense of these columns."""
    if choice.top is not None and not choice.by:
        raise CrystalliteError("--top needs --by: what to order the crystals by, the smallest first")
    types = ", ".join(
        f'"{_doubled(column.name)}" {"VARCHAR" if column.is_text else "DOUBLE"}'
        for column in [Column("material_id", is_text=True), Column("source", is_text=True), *columns]
    )
    with _database() as database:
        places = "part INTEGER, row INTEGER, material_key BIGINT, material_key_shifted BIGINT"
        database.execute(f"CREATE TABLE predictions ({types}, {places})")
        for option, text in (("--where", choice.where), ("--by", choice.by)):
            alone = Choice(where=text) if option == "--where" else Choice(by=text)
            if text:
                _rows(database, alone, f"{option} {text!r}")


def write_shortlist(
    results: Results, choice: Choice, engine: Engine, pieces: Iterator[Piece], *, progress: bool = True
) -> int:
    """Write shortlist.csv, and shortlist.parquet, a dataset with the structures too.

    Args:
        results: of a screening that is done.
        choice: which crystals are wanted.
        engine: reads the structures again.
        pieces: of the inputs, in which they are.
        progress: whether a bar is shown at a terminal.

    Returns:
        How many crystals are on the list.
    """
    from ..datasets.dataset import Dataset
    from ..datasets.parquet import ROW_GROUP, parquet_writer

    folder, columns = results.folder, results.columns
    rows = _chosen(results, choice)
    shown = [Column("source", is_text=True), *columns]
    distinct = DistinctNames()
    ids = [distinct.of(name) for name in rows["material_id"].to_pylist()]
    table = {column.name: _values(rows[column.name]) for column in shown}
    pile, order = _structures(rows, engine, pieces, progress)
    windows = [slice(first, first + ROW_GROUP) for first in range(0, len(ids), ROW_GROUP)]
    with table_writer(folder / f"{SHORTLIST}.csv", shown) as write:
        for window in windows:
            write(ids[window], {name: values[window] for name, values in table.items()})
    dataset = Dataset.from_arrays(
        pile.arrays,
        [ids[row] for row in order],
        {name: _finite(values[order]) for name, values in table.items()},
        {column.name: column.unit for column in columns if column.unit},
        name=SHORTLIST,
    )
    rows_in_order = np.argsort(order)
    with parquet_writer(folder / f"{SHORTLIST}.parquet", dataset.table.schema) as write_structures:
        for window in windows:
            write_structures(dataset.select(rows_in_order[window]).table)
    return len(ids)


def _chosen(results: Results, choice: Choice) -> pa.Table:
    """Return the rows of the predictions that are wanted, in order."""
    with _database() as database:
        database.read_parquet(results.files(), hive_partitioning=False).create_view("predictions")
        return _rows(database, choice, str(results.folder))


def _structures(
    rows: pa.Table, engine: Engine, pieces: Iterator[Piece], progress: bool
) -> tuple[CrystalPile, NDArray[np.int64]]:
    """Return the crystals of the rows, read again from the pieces of the inputs, and which row each is of."""
    order = np.lexsort((rows["row"].to_numpy(), rows["part"].to_numpy()))
    in_order = rows.select(["part", "row", "material_id", "source"]).take(order)
    pile = CrystalPile()
    with progress_bar(doing="reading", unit="structures", total=len(rows), shown=progress) as bar:
        for crystals in _picked(in_order, engine, pieces):
            for crystal in crystals.values():
                pile.add(crystal)
            bar.update(len(crystals))
    return pile, order


def _picked(rows: pa.Table, engine: Engine, pieces: Iterator[Piece]) -> Iterator[Picked]:
    """Yield the structures of rows in the order of the input, those of a part together."""
    parts, firsts, counts = np.unique(rows["part"].to_numpy(), return_index=True, return_counts=True)
    slices = (rows.slice(*place) for place in zip(firsts, counts, strict=True))
    of_part = dict(zip(parts.tolist(), slices, strict=True))

    def pick(numbered: tuple[int, Piece]) -> Pending[Picked]:
        part, piece = numbered
        return engine.pick(piece, _listed(of_part[part]))

    until_last = islice(enumerate(pieces), max(of_part, default=-1) + 1)
    chosen = (numbered for numbered in until_last if numbered[0] in of_part)
    found = map_ahead(pick, chosen, engine.window)
    for part in of_part.values():
        crystals = next(found, None)
        if crystals is None:  # the input has fewer pieces now
            raise CrystalliteError(moved(*next(iter(_listed(part).values()))))
        yield crystals


def _listed(rows: pa.Table) -> Listed:
    ids, sources = (rows[name].to_pylist() for name in ("material_id", "source"))
    return dict(zip(rows["row"].to_pylist(), zip(ids, sources, strict=True), strict=True))


def _doubled(name: str) -> str:
    """Return a name as it stands between quotation marks in SQL."""
    return name.replace('"', '""')


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers with what is infinite, as bounds may be, as missing; text as it is."""
    return values if values.dtype == object else np.where(np.isinf(values), np.nan, values)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), object)
    return np.asarray(column.to_numpy(), np.float64)


def _database() -> Any:
    return needed("duckdb", "--where, --by and --top", "crystallite[screen]").connect(":memory:")


def _rows(database: Any, choice: Choice, place: str) -> pa.Table:
    where = f"WHERE ({choice.where})" if choice.where else ""
    order = f"{choice.by}, part, row" if choice.by else "part, row"
    limit = "" if choice.top is None else f"LIMIT {choice.top:d}"
    duckdb = needed("duckdb", "--where, --by and --top", "crystallite[screen]")
    query = f"SELECT * FROM predictions {where} ORDER BY {order} {limit}"
    try:
        if len(database.extract_statements(query)) != 1:
            raise CrystalliteError(f"{place}: one condition or order, without semicolons")
        return database.sql(query).to_arrow_table()
    except duckdb.Error as error:
        reason = str(error).partition("\n\nLINE")[0].replace("\n", "; ")
        raise CrystalliteError(f"{place}: {reason}") from None
