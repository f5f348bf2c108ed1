"""What is in a dataset: counts, ranges, missing values and repetitions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..crystals.elements import symbols
from .dataset import Dataset

RESOLUTION = 1e-4  # Å and fractions of the cell; structures equal when rounded to it are the same


@dataclass(frozen=True)
class PropertyOverview:
    """A numeric property: its unit ("" if none), how many values are missing, and those present."""

    name: str
    unit: str
    missing: int
    minimum: float
    median: float
    mean: float
    maximum: float


@dataclass(frozen=True)
class Overview:
    """A dataset in numbers.

    elements: crystals with each element, most frequent first. cell_sizes: median, 99th percentile and
    maximum of the atoms in a cell. labels: the values of each text column with their counts, most frequent
    first (None: missing). same_ids, same_structures: groups of rows.
    """

    n_crystals: int
    n_atoms: int
    elements: list[tuple[str, int]]
    cell_sizes: tuple[float, float, int]
    properties: list[PropertyOverview]
    labels: dict[str, list[tuple[str | None, int]]]
    same_ids: list[list[int]]
    same_structures: list[list[int]]


def overview(dataset: Dataset) -> Overview:
    """Return what is in a dataset."""
    sizes = np.diff(dataset.arrays.offsets)
    return Overview(
        n_crystals=len(dataset),
        n_atoms=int(sizes.sum()),
        elements=count_elements(dataset),
        cell_sizes=_cell_sizes(sizes),
        properties=[_property(dataset, name) for name in dataset.properties],
        labels={name: Counter(dataset.labels(name)).most_common() for name in dataset.label_names},
        same_ids=_groups(dataset.ids),
        same_structures=find_same_structures(dataset),
    )


def count_elements(dataset: Dataset) -> list[tuple[str, int]]:
    """Return (symbol, number of crystals with it), most frequent first."""
    arrays = dataset.arrays
    owner = np.repeat(np.arange(arrays.n_crystals), np.diff(arrays.offsets))
    pairs = np.unique(owner * 256 + arrays.numbers)
    counts = np.bincount(pairs % 256, minlength=1)
    order = np.argsort(-counts, kind="stable")
    return [(symbols()[number], int(counts[number])) for number in order if counts[number]]


def find_same_structures(dataset: Dataset) -> list[list[int]]:
    """Return groups of rows with the same structure.

    The same means: equal cell vectors and equal elements at equal places, in any order of the atoms, all
    rounded to RESOLUTION. Another choice of cell, of its origin or orientation counts as another structure.
    """
    arrays = dataset.arrays
    periods = round(1 / RESOLUTION)
    places = np.rint(arrays.frac_coords / RESOLUTION).astype(np.int64) % periods
    owner = np.repeat(np.arange(arrays.n_crystals), np.diff(arrays.offsets))
    order = np.lexsort((*places.T, arrays.numbers, owner))
    sites = np.column_stack([arrays.numbers, places])[order]
    cells = np.rint(arrays.lattices / RESOLUTION).astype(np.int64)
    bounds = zip(arrays.offsets[:-1].tolist(), arrays.offsets[1:].tolist(), strict=True)
    return _groups(
        (cell.tobytes(), sites[start:stop].tobytes())
        for cell, (start, stop) in zip(cells, bounds, strict=True)
    )


def _cell_sizes(sizes: NDArray[np.int64]) -> tuple[float, float, int]:
    if len(sizes) == 0:
        return 0.0, 0.0, 0
    return float(np.median(sizes)), float(np.percentile(sizes, 99)), int(sizes.max())


def _property(dataset: Dataset, name: str) -> PropertyOverview:
    values = dataset.values(name)
    present = values[~np.isnan(values)]
    nothing = (np.nan,) * 4
    low, median, mean, high = (
        (present.min(), np.median(present), present.mean(), present.max()) if len(present) else nothing
    )
    missing = len(values) - len(present)
    unit = dataset.units.get(name, "")
    return PropertyOverview(name, unit, missing, float(low), float(median), float(mean), float(high))


def _groups(keys: Iterable[Hashable]) -> list[list[int]]:
    """Return the places that share a key with another."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return [group for group in places.values() if len(group) > 1]
