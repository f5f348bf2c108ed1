"""Gathering crystals that come one at a time, each with properties of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..crystal import Crystal
from ..errors import CrystalError, CrystalliteError
from .importing import shortened
from .schema import STRUCTURE, property_column

CrystalResult = Crystal | CrystalError
MOST_BAD = 100_000  # crystals that cannot be used: more of them, and the file is something else
MOST_CELLS = 100_000_000  # crystals times properties
SCALARS = (str, float, int, bool, type(None))


class Collector:
    """Crystals in the order they came, and their properties in columns that grow as names turn up."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.crystals: list[CrystalResult] = []
        self.columns: dict[str, list[Any]] = {}
        self._n_bad = 0

    def add(self, name: str, crystal: CrystalResult, properties: Mapping[str, Any]) -> None:
        """Add a crystal, or why there is none, and its properties.

        Raises CrystalliteError for more than a file of crystals has: MOST_BAD of those, MOST_CELLS values.
        """
        if isinstance(crystal, CrystalError):
            self._n_bad += 1
            if self._n_bad > MOST_BAD:
                raise CrystalliteError(f"{crystal}; and {MOST_BAD:,} before it cannot be used")
        self.crystals.append(crystal)
        self.add_properties(name, properties)

    def add_properties(self, name: str, properties: Mapping[str, Any]) -> None:
        """Add the properties of one more crystal."""
        for key, value in properties.items():
            column = self.columns.setdefault(str(key), [])
            column += [None] * (len(self.ids) - len(column))
            column.append(value)
        self.ids.append(name)
        if len(self.ids) * len(self.columns) > MOST_CELLS:
            raise CrystalliteError(f"{name}: more than {MOST_CELLS:,} values of properties: take fewer")

    def table(self, source: str | Path) -> tuple[pa.Table, list[str]]:
        """Return material_id and the properties, and notices of what has no place in a table.

        Raises CrystalliteError naming `source` and a property that is partly numbers and partly text.
        """
        columns = {"material_id": pa.array(self.ids, pa.string())}
        left_out = []
        for name, values in self.columns.items():
            values += [None] * (len(self.ids) - len(values))
            if name in STRUCTURE.names or not all(isinstance(value, SCALARS) for value in values):
                left_out.append(name)
            else:
                columns[name] = _column(values, name, source)
        notices = [f"left out, not one number or text a crystal: {shortened(left_out)}"] if left_out else []
        return pa.table(columns), notices


def _column(values: list[Any], name: str, source: str | Path) -> pa.Array:
    try:
        return property_column(values, name)
    except CrystalliteError as error:
        raise CrystalliteError(f"{source}: {error}") from None


def attempted(read: Callable[[Any, str], Crystal], structure: Any, place: str) -> CrystalResult:
    """Return read(structure, place), or the CrystalError it raises."""
    try:
        return read(structure, place)
    except CrystalError as error:
        return error


def joined(
    crystals: Mapping[str, CrystalResult], rows: pa.Table, listing: str, archive: str
) -> tuple[list[CrystalResult], list[str]]:
    """Return for every row of the table its crystal, and a notice of crystals that have no row.

    A row without a crystal gets a CrystalError. listing and archive name table and crystals in messages.
    """
    results: list[CrystalResult] = []
    names: Sequence[str] = rows["material_id"].to_pylist()
    for row, name in enumerate(names):
        place = f"{listing}, row {row + 1} ({name})"
        results.append(crystals.get(name) or CrystalError(place, f"{archive} has no crystal of this id"))
    return results, unlisted(crystals, names, listing)


def unlisted(ids: Iterable[str], listed: Iterable[str], listing: str) -> list[str]:
    """Return a notice if some ids are not listed."""
    extra = sorted(set(ids) - set(listed))
    if not extra:
        return []
    return [f"{len(extra):,} crystals without a row in {listing} are left out: {shortened(extra)}"]
