"""Two datasets compared: crystals added, removed and merged, structures and properties that moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import pack_crystals
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.csv_tables import write_csv
from ..files.writing import file_stems
from ..graphs.packed import build_graphs
from ..settings.config import GraphConfig
from .groups import material_groups

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOVERS = 5  # crystals named for each property
TABLES = ("crystals.csv", "properties.csv")
VOLUME = "volume_per_atom"  # compared besides the properties, Å³
Values = NDArray[np.float64]


class Pairs(NamedTuple):
    """Which crystal of `new` is which of `old`.

    old, new: (P,) rows of the crystals in both. removed: rows of old; added: rows of new. renamed: (id, new
    id). merged: new id -> the several ids of old that are it now.
    """

    old: NDArray[np.int64]
    new: NDArray[np.int64]
    removed: list[int]
    added: list[int]
    renamed: list[tuple[str, str]]
    merged: dict[str, list[str]]


@dataclass(frozen=True)
class Change:
    """How a property moved, new minus old, over the crystals in both.

    old, new: (P,) values, NaN where missing. lost, gained: crystals with a value in old only, in new only.
    movers: (place among the pairs, old value, new value), the largest changes first.
    """

    name: str
    unit: str
    old: Values
    new: Values

    @property
    def known(self) -> Values:
        """The differences new - old of the crystals that have both values."""
        difference = self.new - self.old
        return difference[np.isfinite(difference)]

    @property
    def lost(self) -> int:
        return int((np.isfinite(self.old) & np.isnan(self.new)).sum())

    @property
    def gained(self) -> int:
        return int((np.isnan(self.old) & np.isfinite(self.new)).sum())

    @property
    def movers(self) -> list[tuple[int, float, float]]:
        size = np.nan_to_num(np.abs(self.new - self.old))
        order = np.argsort(-size, kind="stable")[:MOVERS]
        return [(int(k), float(self.old[k]), float(self.new[k])) for k in order if size[k] > 0]

    def statistics(self) -> dict[str, float]:
        """Return count, lost, gained, mean, MAE and quantiles (`5 %`, ... `95 %`) of the differences."""
        known = self.known
        filled = known if len(known) else np.array([np.nan])
        quantiles = np.quantile(filled, QUANTILES)
        return {
            "crystals": len(known),
            "lost": self.lost,
            "gained": self.gained,
            "mean": float(filled.mean()),
            "mae": float(np.abs(filled).mean()),
            **{f"{fraction:.0%}": float(value) for fraction, value in zip(QUANTILES, quantiles, strict=True)},
        }


@dataclass(frozen=True)
class Difference:
    """Everything that differs between two datasets. moved: (P,) whether a pair's structure is another."""

    old: Dataset
    new: Dataset
    pairs: Pairs
    moved: NDArray[np.bool_]
    changes: list[Change]


def compare(
    old: Dataset,
    new: Dataset,
    *,
    properties: Mapping[str, str] | None = None,
    id_map: Mapping[str, str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Difference:
    """Compare two datasets.

    properties: name in old -> name in new; otherwise all that both have. id_map: id -> today's id, applied to
    both. Raises CrystalliteError if no crystal is in both, or a property has two different units.
    """
    pairs = pair_crystals(old.ids, new.ids, id_map or {})
    if not len(pairs.old):
        raise CrystalliteError(
            f"{old.name} and {new.name} have no id in common, such as {old.ids[0]} and {new.ids[0]}; "
            "is a map of ids needed?"
        )
    if properties is None:
        properties = {name: name for name in old.properties if name in new.properties}
    before, after = old.select(pairs.old), new.select(pairs.new)
    changes = [_change(before, after, name, new_name) for name, new_name in properties.items()]
    changes.append(Change(VOLUME, "Å³", volume_per_atom(before), volume_per_atom(after)))
    moved = moved_structures(before, after, workers=workers, progress=progress)
    return Difference(old, new, pairs, moved, changes)


def pair_crystals(old: Sequence[str], new: Sequence[str], id_map: Mapping[str, str]) -> Pairs:
    """Match rows by what their ids are today. An id that is there twice in `new` stands for its first row."""
    row_of: dict[str, int] = {}
    keys = [id_map.get(name, name) for name in new]
    for row, key in enumerate(keys):
        row_of.setdefault(key, row)
    found = [(row, row_of.get(id_map.get(name, name), -1)) for row, name in enumerate(old)]
    both = [(row, other) for row, other in found if other >= 0]
    matched = {keys[other] for _, other in both}
    former: dict[str, dict[str, None]] = defaultdict(dict)
    for row, other in both:
        former[new[other]][old[row]] = None
    return Pairs(
        old=np.array([row for row, _ in both], dtype=np.int64),
        new=np.array([other for _, other in both], dtype=np.int64),
        removed=[row for row, other in found if other < 0],
        added=[row for row, key in enumerate(keys) if key not in matched],
        renamed=[(old[row], new[other]) for row, other in both if old[row] != new[other]],
        merged={name: list(names) for name, names in former.items() if len(names) > 1},
    )


def moved_structures(
    old: Dataset, new: Dataset, *, workers: int = 1, progress: bool = False
) -> NDArray[np.bool_]:
    """Return (P,) whether crystal k of `new` is another material than crystal k of `old`.

    The same means equal composition and bond lengths within splits.SAME_DISTANCE, whatever the cell.
    """
    pairs = zip(old, new, strict=True)
    equal = [
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.lattice, b.lattice)
        and np.array_equal(a.frac_coords, b.frac_coords)
        for a, b in pairs
    ]
    moved = ~np.array(equal, dtype=bool)
    rows = np.flatnonzero(moved)
    if len(rows):
        crystals = pack_crystals([*old.select(rows), *new.select(rows)])
        names = [str(k) for k in range(crystals.n_crystals)]
        graphs = build_graphs(crystals, GraphConfig(), names, workers=workers, progress=progress)
        groups = material_groups(names, graphs)
        moved[rows] = groups[: len(rows)] != groups[len(rows) :]
    return moved


def volume_per_atom(dataset: Dataset) -> Values:
    """Return (N,) volumes of the cell over its number of atoms, Å³."""
    arrays = dataset.arrays
    return np.asarray(np.abs(np.linalg.det(arrays.lattices)) / np.diff(arrays.offsets))


def write_difference(folder: str | Path, difference: Difference) -> None:
    """Write a folder: crystals.csv and properties.csv, with a row for each, and a NAME.png per property."""
    from ..evaluation.figures import plot_change

    folder = Path(folder)
    for name, rows in zip(TABLES, (_crystal_rows, _property_rows), strict=True):
        write_csv(folder / name, rows(difference))
    stems = file_stems([change.name for change in difference.changes])
    for change, stem in zip(difference.changes, stems, strict=True):
        if len(change.known):
            plot_change(folder / f"{stem}.png", change.known, change.name, change.unit)


def _change(before: Dataset, after: Dataset, name: str, new_name: str) -> Change:
    old, new = before.values(name), after.values(new_name)
    unit, new_unit = before.units.get(name, ""), after.units.get(new_name, "")
    if unit and new_unit and unit != new_unit:
        raise CrystalliteError(f"{name} is in {unit}, {new_name} in {new_unit}; they cannot be compared")
    return Change(name if name == new_name else f"{name} -> {new_name}", unit or new_unit, old, new)


def _crystal_rows(difference: Difference) -> Iterator[Sequence[Any]]:
    old, new, pairs = difference.old.ids, difference.new.ids, difference.pairs
    names = [f"{change.name} {when}" for change in difference.changes for when in ("old", "new")]
    yield ["status", "old_id", "new_id", "structure", *names]
    for place, (row, other) in enumerate(zip(pairs.old.tolist(), pairs.new.tolist(), strict=True)):
        status = "merged" if new[other] in pairs.merged else "kept" if old[row] == new[other] else "renamed"
        values = [_cell(v) for change in difference.changes for v in (change.old[place], change.new[place])]
        yield [status, old[row], new[other], "moved" if difference.moved[place] else "same", *values]
    yield from (["removed", old[row], "", "", *[""] * len(names)] for row in pairs.removed)
    yield from (["added", "", new[row], "", *[""] * len(names)] for row in pairs.added)


def _property_rows(difference: Difference) -> Iterator[Sequence[Any]]:
    for number, change in enumerate(difference.changes):
        statistics = change.statistics()
        if number == 0:
            yield ["property", "unit", *statistics, "largest"]
        largest = difference.old.ids[difference.pairs.old[change.movers[0][0]]] if change.movers else ""
        yield [change.name, change.unit, *(_cell(value) for value in statistics.values()), largest]


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else value
