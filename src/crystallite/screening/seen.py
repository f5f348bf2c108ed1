"""Which crystal of a screening was the first of its material: a lookup that stays small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ROW_BITS = 32  # a place is the number of a part, and in its last bits the row in the part
NOWHERE = np.iinfo(np.int64).max

Integers = NDArray[np.int64]


def places_of(part: int | Integers, rows: NDArray[Any]) -> Integers:
    """Return the places of rows of a part: whole numbers in the order of the input."""
    return (np.asarray(part, np.int64) << ROW_BITS) + rows.astype(np.int64)


def part_and_row(places: Any) -> tuple[Any, Any]:
    """Return the parts and the rows of places."""
    return places >> ROW_BITS, places & ((1 << ROW_BITS) - 1)


class FirstPlaces:
    """The keys of all distinct materials so far, and where each was first: 32 bytes a material."""

    def __init__(self) -> None:
        self._of_keys = SortedKeys(), SortedKeys()

    def first(self, keys: Integers, places: Integers) -> Integers:
        """Return where the material of each crystal was first, its own place if it is new, and remember it.

        Args:
            keys: (N, 2) of `material_keys`; crystals that agree in either column are one material.
            places: (N,), ascending, all behind those of before.

        Returns:
            (N,) places. A material is told by the keys of its first crystal.
        """
        found = np.minimum(*(known.find(keys[:, k]) for k, known in enumerate(self._of_keys)))
        first = np.where(found == NOWHERE, places, found)
        here: tuple[dict[int, int], dict[int, int]] = {}, {}
        for row in np.flatnonzero(found == NOWHERE).tolist():
            a, b = keys[row].tolist()
            place = min(here[0].get(a, NOWHERE), here[1].get(b, NOWHERE))
            if place == NOWHERE:
                place = int(places[row])
                here[0].setdefault(a, place)
                here[1].setdefault(b, place)
            first[row] = place
        for known, new in zip(self._of_keys, here, strict=True):
            known.add(np.array(list(new), np.int64), np.array(list(new.values()), np.int64))
        return first


class SortedKeys:
    """Places by key, in sorted runs of which each is at least twice as long as the next.

    Adding N keys one batch after another costs N log N, finding one log² N.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Integers, Integers]] = []

    def add(self, keys: Integers, places: Integers) -> None:
        """Add keys with their places."""
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        run = keys[order], places[order]
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            keys, places = (np.concatenate(pair) for pair in zip(self._runs.pop(), run, strict=True))
            order = np.argsort(keys, kind="stable")
            run = keys[order], places[order]
        self._runs.append(run)

    def find(self, keys: Integers) -> Integers:
        """Return the place of each key, the first of several; NOWHERE for one that is not there."""
        found = np.full(len(keys), NOWHERE)
        for known, places in self._runs:
            at = np.searchsorted(known, keys)
            is_there = at < len(known)
            is_there[is_there] = known[at[is_there]] == keys[is_there]
            found[is_there] = np.minimum(found[is_there], places[at[is_there]])
        return found


class FirstIds:
    """The ids of the first crystals of materials, by their places."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[NDArray[np.int32], pa.Array]] = {}

    def add(self, part: int, rows: NDArray[np.int32], ids: pa.Array) -> None:
        """Add the ids of rows of a part, ascending."""
        self._parts[part] = rows, ids

    def of(self, places: Integers) -> dict[int, str]:
        """Return the id at each place."""
        found = {}
        for place in np.unique(places).tolist():
            part, row = part_and_row(place)
            rows, ids = self._parts[part]
            found[place] = ids[int(np.searchsorted(rows, row))].as_py()
        return found
