"""Tables in JSON: {"columns": [...], "index": [...], "data": [[structure, value], ...]}.

Matbench tasks are such tables, and what pandas writes with orient="split".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import CrystalError, CrystalliteError
from .record import CrystalResult, Record, attempted
from .structure_shapes import RECORD_KEYS, id_text, structure_of


class Table:
    """Rows one after another; those that come before the names of the columns are kept until these are known.

    head: where `columns` and `index` are, or will be when `rest` is called.
    """

    def __init__(self, head: Mapping[str, Any], path: Path, id_column: str) -> None:
        self._head = head
        self._path = path
        self._id_column = id_column
        self._kept: list[tuple[CrystalResult, int, list[Any]]] = []
        self._n_rows = 0

    def add(self, cells: Any) -> Iterator[Record]:
        """Take a row; yield its crystal if columns and index are known already."""
        self._n_rows += 1
        if not isinstance(cells, list):
            raise CrystalliteError(f"{self._path}: row {self._n_rows} of data is not a list")
        named = {"columns", "index"} <= self._head.keys()
        place = next((k for k, cell in enumerate(cells) if isinstance(cell, dict)), -1)
        place = self._columns().index(self._structure_column()) if named else place
        structure = cells[place] if 0 <= place < len(cells) else None
        row = (attempted(structure_of, structure, f"{self._path}, row {self._n_rows}"), place, cells)
        if named:
            yield self._record(self._n_rows - 1, *row)
        else:
            self._kept.append(row)

    def rest(self) -> Iterator[Record]:
        """Yield what was kept; raises CrystalliteError if columns, index and data do not fit together."""
        self._structure_column()
        for number, row in enumerate(self._kept):
            yield self._record(number, *row)
        index = self._index()
        if index is not None and len(index) != self._n_rows:
            raise self._misfit()

    def _record(self, number: int, crystal: CrystalResult, place: int, cells: list[Any]) -> Record:
        columns, index = self._columns(), self._index()
        if len(cells) != len(columns) or (index is not None and number >= len(index)):
            raise self._misfit()
        properties = {
            str(name): cell for k, (name, cell) in enumerate(zip(columns, cells, strict=True)) if k != place
        }
        given = properties.pop(self._id_column, None)
        given = index[number] if given is None and index is not None else given
        try:
            name = id_text(given)
            return Record(str(number) if name is None else name, crystal, properties)
        except ValueError as error:
            return Record(
                str(number), CrystalError(f"{self._path}, row {number + 1}", str(error)), properties
            )

    def _columns(self) -> list[Any]:
        columns = self._head.get("columns")
        if not isinstance(columns, list):
            raise CrystalliteError(
                f"{self._path}: a table has columns and data; a list of columns is missing"
            )
        return columns

    def _index(self) -> list[Any] | None:
        index = self._head.get("index")
        if index is not None and not isinstance(index, list):
            raise self._misfit()
        return index

    def _structure_column(self) -> str:
        columns = self._columns()
        found = next((key for key in RECORD_KEYS if key in columns), None)
        if found is None:
            listed = ", ".join(map(str, columns))
            raise CrystalliteError(f"{self._path}: no column structure (there are: {listed})")
        return found

    def _misfit(self) -> CrystalliteError:
        return CrystalliteError(f"{self._path}: index, columns and data do not fit together")
