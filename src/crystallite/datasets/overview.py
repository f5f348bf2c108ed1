"""What is in a dataset: counts, ranges, missing values and repetitions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..crystals.crystal import CrystalArrays
from ..crystals.elements import symbols
from .dataset import Dataset
from .schema import as_arrow, as_numpy

RESOLUTION = 1e-4  # Å and fractions of the cell; structures equal when rounded to it are the same
FREQUENT = 8  # values of a text column
_WINDOW = 1 << 14  # crystals looked at at once


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
class TextOverview:
    """A text column: how many different values it has, and the FREQUENT most frequent with their counts.

    A missing value counts as one, None.
    """

    name: str
    n_different: int
    frequent: list[tuple[str | None, int]]


@dataclass(frozen=True)
class Overview:
    """A dataset in numbers.

    elements: crystals with each element, most frequent first. cell_sizes: median, 99th percentile and
    maximum of the atoms in a cell. same_ids, same_structures: groups of rows.
    """

    n_crystals: int
    n_atoms: int
    elements: list[tuple[str, int]]
    cell_sizes: tuple[float, float, int]
    properties: list[PropertyOverview]
    texts: list[TextOverview]
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
        texts=[_text(dataset, name) for name in dataset.label_names],
        same_ids=_find_same_ids(dataset),
        same_structures=find_same_structures(dataset),
    )


def count_elements(dataset: Dataset) -> list[tuple[str, int]]:
    """Return (symbol, number of crystals with it), most frequent first."""
    counts = np.zeros(256, np.int64)
    for part in _windows(dataset.arrays):
        pairs = np.unique(_owners(part) * 256 + part.numbers)
        counts += np.bincount(pairs % 256, minlength=256)
    order = np.argsort(-counts, kind="stable")
    return [(symbols()[number], int(counts[number])) for number in order if counts[number]]


def find_same_structures(dataset: Dataset) -> list[list[int]]:
    """Return groups of rows with the same structure.

    The same means: equal cell vectors and equal elements at equal places, in any order of the atoms, all
    rounded to RESOLUTION. Another choice of cell, of its origin or orientation counts as another structure.
    Structures are told apart by hashes of 128 bits.
    """
    digests = bytearray()
    for part in _windows(dataset.arrays):
        for structure in _rounded(part):
            digests += hashlib.blake2b(structure, digest_size=16).digest()
    return _groups(np.frombuffer(digests, np.int64).reshape(-1, 2))


def _rounded(arrays: CrystalArrays) -> Iterator[bytes]:
    """Yield the bytes of each crystal's cell and sorted sites, rounded to RESOLUTION."""
    periods = round(1 / RESOLUTION)
    places = np.rint(arrays.frac_coords / RESOLUTION).astype(np.int64) % periods
    order = np.lexsort((*places.T, arrays.numbers, _owners(arrays)))
    sites = np.column_stack([arrays.numbers, places])[order]
    cells = np.rint(arrays.lattices / RESOLUTION).astype(np.int64)
    bounds = zip(arrays.offsets[:-1].tolist(), arrays.offsets[1:].tolist(), strict=True)
    for cell, (start, stop) in zip(cells, bounds, strict=True):
        yield cell.tobytes() + sites[start:stop].tobytes()


def _find_same_ids(dataset: Dataset) -> list[list[int]]:
    codes = dataset.table["material_id"].dictionary_encode().combine_chunks().indices
    return _groups(as_numpy(codes).reshape(-1, 1))


def _windows(arrays: CrystalArrays) -> Iterator[CrystalArrays]:
    """Yield the crystals in parts, of which copies fit into memory."""
    for first in range(0, arrays.n_crystals, _WINDOW):
        yield arrays.part(first, min(first + _WINDOW, arrays.n_crystals))


def _owners(arrays: CrystalArrays) -> NDArray[np.int64]:
    """Return the crystal of each atom."""
    return np.repeat(np.arange(arrays.n_crystals), np.diff(arrays.offsets))


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


def _text(dataset: Dataset, name: str) -> TextOverview:
    counted = dataset.table[name].value_counts()  # in the order in which they come first
    order = np.argsort(-as_numpy(counted.field("counts")), kind="stable")
    first = counted.take(as_arrow(order[:FREQUENT], pa.int64())).to_pylist()
    return TextOverview(name, len(counted), [(one["values"], one["counts"]) for one in first])


def _groups(keys: NDArray[Any]) -> list[list[int]]:
    """Return groups of equal rows of whole numbers, (N, k), in the order of their first rows."""
    order = np.lexsort(keys.T)
    is_same = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    edges = np.diff(np.concatenate([[0], is_same, [0]]))
    bounds = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return sorted(order[first : last + 1].tolist() for first, last in bounds)
