"""Gathering crystals that come one at a time, each with properties of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...datasets.columns import is_missing
from ...datasets.schema import STRUCTURE, property_column
from ...errors import CrystalError, CrystalliteError, shortened
from .crystal_pile import CrystalPile
from .record import CrystalResult
from .table_rows import place_of_row

MOST_BAD = 100_000  # crystals that cannot be used: more of them, and the file is something else
MOST_CELLS = 100_000_000  # crystals times properties
SCALARS = (str, float, int, bool, type(None))


class Collector:
    """Crystals in the order they came, and their properties in columns that grow as names turn up."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.crystals = CrystalPile()
        self.columns: dict[str, list[Any]] = {}

    def add(self, name: str, crystal: CrystalResult, properties: Mapping[str, Any]) -> None:
        """Add a crystal, or why there is none, and its properties.

        Raises CrystalliteError for more than a file of crystals has: MOST_BAD of those, MOST_CELLS values.
        """
        self.crystals.add(crystal)
        if len(self.crystals.bad) > MOST_BAD:
            raise CrystalliteError(f"{crystal}; and {MOST_BAD:,} before it cannot be used")
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

        Words such as None or na are missing values among numbers. Raises CrystalliteError naming `source` and
        a property that is partly numbers and partly other text.
        """
        columns = {"material_id": pa.array(self.ids, pa.string())}
        left_out, notices = [], []
        for name, values in self.columns.items():
            values += [None] * (len(self.ids) - len(values))
            if name in STRUCTURE.names or not all(isinstance(value, SCALARS) for value in values):
                left_out.append(name)
                continue
            word, values = self._without_words(name, values, source)
            columns[name] = _column(values, name, source)
            if word is not None:
                notices.append(f"{source}: property {name}: {word!r} is a missing value")
        if left_out:
            notices.append(f"left out, not one number or text per crystal: {shortened(left_out)}")
        return pa.table(columns), notices

    def _without_words(
        self, name: str, values: list[Any], source: str | Path
    ) -> tuple[str | None, list[Any]]:
        """Return the first word for a missing value among numbers, and the values without such words."""
        texts = [row for row, value in enumerate(values) if isinstance(value, str)]
        if not texts or not any(isinstance(value, int | float) for value in values):
            return None, values
        strange = next((row for row in texts if not is_missing(values[row])), None)
        if strange is not None:
            place = f"{source}: property {name}, crystal {strange + 1} ({self.ids[strange]})"
            raise CrystalliteError(f"{place}: {values[strange]!r} is text, and others are numbers")
        return values[texts[0]], [None if isinstance(value, str) else value for value in values]


def _column(values: list[Any], name: str, source: str | Path) -> pa.Array:
    try:
        if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
            values = [None if value is None else float(value) for value in values]
        return property_column(values, name)
    except (CrystalliteError, OverflowError, ValueError) as error:
        raise CrystalliteError(f"{source}: {error}") from None


def joined(
    crystals: CrystalPile,
    places: Mapping[str, int],
    rows: pa.Table,
    listing: str,
    missing: Callable[[str], str],
) -> tuple[CrystalPile, list[str]]:
    """Return the crystals in the order of the table's rows, and a notice of crystals that have no row.

    places: id -> place of its crystal. A row without a crystal gets a CrystalError, for the reason
    missing(id). listing: the table, in messages.
    """
    names: Sequence[str] = rows["material_id"].to_pylist()

    def absent(row: int, name: str) -> CrystalError:
        return CrystalError(f"{place_of_row(rows, listing, row)} ({name})", missing(name))

    found = [places[name] if name in places else absent(row, name) for row, name in enumerate(names)]
    return crystals.arranged(found), unlisted(places, names, Path(listing).name)


def unlisted(ids: Iterable[str], listed: Iterable[str], listing: str, what: str = "crystals") -> list[str]:
    """Return a notice if some ids are not listed."""
    extra = sorted(set(ids) - set(listed))
    if not extra:
        return []
    return [f"{len(extra):,} {what} without a row in {listing} are left out: {shortened(extra)}"]
