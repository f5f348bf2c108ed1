"""The lookup of materials against a plain loop over all crystals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from crystallite.screening.seen import NOWHERE, FirstIds, FirstPlaces, SortedKeys, part_and_row, places_of

key = st.integers(0, 6) | st.integers(-(2**63), 2**63 - 1)


def by_a_loop(keys: list[tuple[int, int]]) -> list[int]:
    """The first crystal, among those that are the first of a material, that agrees in either key."""
    firsts: list[int] = []
    found = []
    for row, (a, b) in enumerate(keys):
        same = [one for one in firsts if keys[one][0] == a or keys[one][1] == b]
        found.append(min(same, default=row))
        if not same:
            firsts.append(row)
    return found


@given(st.lists(st.tuples(key, key), max_size=60), st.integers(1, 20))
def test_the_first_of_a_material_is_found(keys, batch):
    seen, found = FirstPlaces(), []
    for start in range(0, len(keys), batch):
        part = np.array(keys[start : start + batch], np.int64).reshape(-1, 2)
        found += seen.first(part, np.arange(start, start + len(part))).tolist()
    assert found == by_a_loop(keys)


@given(st.lists(st.lists(key, max_size=9), max_size=30))
def test_sorted_keys_are_a_dictionary(batches):
    known, expected, place = SortedKeys(), {}, 0
    for batch in batches:
        keys = np.array(batch, np.int64)
        places = np.arange(place, place + len(keys))
        known.add(keys, places)
        for one, where in zip(batch, places.tolist(), strict=True):
            expected.setdefault(one, where)
        place += len(keys)
    asked = np.array([*expected, 99], np.int64)
    assert known.find(asked).tolist() == [*expected.values(), expected.get(99, NOWHERE)]


def test_runs_stay_few():
    """Each at least twice as long as the next: 1,000 batches leave no more than log2 of all keys."""
    known = SortedKeys()
    for batch in range(1000):
        known.add(np.arange(batch * 7, batch * 7 + 7), np.arange(7))
    lengths = [len(keys) for keys, _ in known._runs]
    assert sum(lengths) == 7000
    assert all(a >= 2 * b for a, b in pairwise(lengths))


def test_ids_are_found_by_place():
    ids = FirstIds()
    ids.add(3, np.array([0, 4, 9], np.int32), pa.array(["a", "b", "c"]))
    ids.add(200_000, np.array([1], np.int32), pa.array(["d"]))
    places = np.concatenate([places_of(200_000, np.array([1])), places_of(3, np.array([9, 0, 9]))])
    assert ids.of(places) == dict(zip(places.tolist(), ["d", "c", "a", "c"], strict=True))
    assert [array.tolist() for array in part_and_row(places)] == [[200_000, 3, 3, 3], [1, 9, 0, 9]]
