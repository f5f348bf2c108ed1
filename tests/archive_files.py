"""Crystals with columns hard to keep, reading them again and comparing, for the tests of formats."""

from __future__ import annotations

import numpy as np

from crystallite.datasets.dataset import Dataset
from crystallite.sources.formats import ImportSettings, import_dataset

AWKWARD_IDS = ["mp-1", "149", "007", "1e5", "T", "nan", "a b", 'é"\\{x}', "_JSON 1", "x=y"]


def mixed_dataset():
    """Sixty real crystals with every kind of column, each with missing values, and ids hard to keep."""
    some = Dataset.read("elastic").select(range(60))
    every = range(60)
    ids = AWKWARD_IDS + [f"mp-{i}" for i in range(len(AWKWARD_IDS), 60)]
    columns = {
        "bulk_modulus": [None if i % 7 == 0 else v for i, v in enumerate(some.values("bulk_modulus"))],
        "count": [None if i % 5 == 0 else i * 10**15 for i in every],
        "is_metal": [None if i % 3 == 0 else i % 2 == 0 for i in every],
        "whole": [float(i) for i in every],
        "label": [None if i % 4 == 0 else AWKWARD_IDS[i % 10] for i in every],
    }
    return Dataset.from_arrays(some.arrays, ids, columns, {"bulk_modulus": "GPa"}, name="mixed")


def read(path, **settings):
    return import_dataset(str(path), ImportSettings(**settings))


def assert_same_columns(found, expected):
    names = expected.table.column_names[4:]
    assert found.ids == expected.ids
    assert set(found.table.column_names[4:]) == set(names)
    for name in names:
        assert found.table[name].type == expected.table[name].type, name
        assert found.table[name].to_pylist() == expected.table[name].to_pylist(), name


def same_crystal(first, second, tolerance=1e-8):
    """Whether two crystals have the same atoms in the same order, the axes turned as they like.

    Products of the lattice vectors (Å²) and wrapped coordinates may differ by the tolerance.
    """
    cells = abs(first.lattice @ first.lattice.T - second.lattice @ second.lattice.T).max()
    shifts = first.frac_coords - second.frac_coords
    furthest = max(cells, abs(shifts - np.round(shifts)).max())
    return np.array_equal(first.numbers, second.numbers) and furthest <= tolerance
