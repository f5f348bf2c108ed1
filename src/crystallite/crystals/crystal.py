"""A crystal: chemical elements, lattice and fractional coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import hypot, isfinite, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..errors import CrystalError
from .elements import PROPERTIES, feature_table, symbols
from .overlaps import distance_below

MAX_ATOMIC_NUMBER = 100  # the element table of the published code ends at fermium
MAX_ATOMS = 65_535  # of one crystal: graphs store neighbours and multiplicities in 16 bits
MIN_DISTANCE = 0.5  # Å; the shortest bond, of two hydrogen atoms, has 0.74
MAX_EDGE = 10_000.0  # Å; the longest known cell has some 1,000
MAX_SKEW = 0.05  # a cell with less of its edges' product as volume is looked at more closely
MAX_IMAGES = 1_000_000  # of atoms in a box around the sphere that holds some 26 atoms
MIN_ATOM_VOLUME = 0.05  # Å³; spheres MIN_DISTANCE wide cannot be packed closer


class OverlapError(CrystalError):
    """Two atoms overlap or share one site."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A periodic crystal of n atoms.

    Attributes:
        numbers: (n,) uint8, atomic numbers.
        lattice: (3, 3) float64, its rows are the lattice vectors in Å.
        frac_coords: (n, 3) float64, fractional coordinates, not necessarily inside [0, 1).
    """

    numbers: NDArray[np.uint8]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def formula(self) -> str:
        """The smallest formula, such as SiO2, with the more electronegative elements last."""
        numbers, counts = np.unique(self.numbers, return_counts=True)
        counts = counts // np.gcd.reduce(counts)
        first = PROPERTIES["group"] + PROPERTIES["period"]
        bins = feature_table()[:, first : first + PROPERTIES["electronegativity"]].argmax(axis=1)
        order = np.lexsort((numbers, bins[numbers]))
        names = symbols()
        return "".join(f"{names[numbers[k]]}{counts[k] if counts[k] > 1 else ''}" for k in order)


class CrystalArrays(NamedTuple):
    """Many crystals in four flat arrays, the form compiled code works on.

    Attributes:
        lattices: (N, 3, 3) float64, rows are lattice vectors in Å.
        offsets: (N + 1,) int64; crystal k owns the atoms offsets[k] to offsets[k + 1].
        numbers: (atoms,) uint8, atomic numbers.
        frac_coords: (atoms, 3) float64, fractional coordinates.
    """

    lattices: NDArray[np.float64]
    offsets: NDArray[np.int64]
    numbers: NDArray[np.uint8]
    frac_coords: NDArray[np.float64]

    def crystal(self, index: int) -> Crystal:
        """Return crystal `index`, sharing memory."""
        atoms = slice(self.offsets[index], self.offsets[index + 1])
        return Crystal(self.numbers[atoms], self.lattices[index], self.frac_coords[atoms])

    def part(self, first: int, last: int) -> CrystalArrays:
        """Return the crystals first to last, sharing memory."""
        atoms = slice(self.offsets[first], self.offsets[last])
        offsets = self.offsets[first : last + 1] - self.offsets[first]
        return CrystalArrays(self.lattices[first:last], offsets, self.numbers[atoms], self.frac_coords[atoms])

    def of(self, rows: NDArray[np.integer]) -> CrystalArrays:
        """Return copies of some crystals, in the order of `rows`."""
        return pack_crystals(self.crystal(int(row)) for row in rows)

    @property
    def n_crystals(self) -> int:
        """Number of crystals, N."""
        return len(self.offsets) - 1


def pack_crystals(crystals: Iterable[Crystal]) -> CrystalArrays:
    """Concatenate crystals into CrystalArrays."""
    crystals = list(crystals)
    offsets = np.zeros(len(crystals) + 1, dtype=np.int64)
    np.cumsum([len(crystal) for crystal in crystals], out=offsets[1:])
    if not crystals:
        return CrystalArrays(np.empty((0, 3, 3)), offsets, np.empty(0, np.uint8), np.empty((0, 3)))
    return CrystalArrays(
        lattices=np.stack([crystal.lattice for crystal in crystals]),
        offsets=offsets,
        numbers=np.concatenate([crystal.numbers for crystal in crystals]),
        frac_coords=np.concatenate([crystal.frac_coords for crystal in crystals]),
    )


def as_crystal(structure: Any, source: str = "crystal") -> Crystal:
    """Return `structure` (our Crystal, a pymatgen Structure or an ASE Atoms) as a checked Crystal.

    `source` names it in errors. Raises CrystalError if it cannot be a periodic, ordered crystal.
    """
    if isinstance(structure, Crystal):
        crystal = structure
    elif hasattr(structure, "frac_coords") and hasattr(structure, "lattice"):
        crystal = _from_pymatgen(structure, source)
    elif hasattr(structure, "get_scaled_positions") and hasattr(structure, "cell"):
        crystal = _from_ase(structure, source)
    else:
        raise CrystalError(
            source, f"{type(structure).__name__} is not a Crystal, pymatgen Structure or ASE Atoms"
        )
    check_crystal(crystal, source)
    return crystal


def check_crystal(crystal: Crystal, source: str) -> None:
    """Raise CrystalError naming `source` unless the crystal is one a graph can be built of."""
    n_atoms = len(crystal)
    if n_atoms == 0:
        raise CrystalError(source, "no atoms")
    if n_atoms > MAX_ATOMS:
        raise CrystalError(source, f"more than {MAX_ATOMS:,} atoms")
    if crystal.lattice.shape != (3, 3) or crystal.frac_coords.shape != (n_atoms, 3):
        raise CrystalError(source, "lattice must be 3 x 3 and every atom needs three coordinates")
    coordinates = np.array(crystal.frac_coords, np.float64, order="C")
    lowest, highest, is_finite = _looked_over(np.array(crystal.numbers, np.int64), coordinates)
    if lowest < 1 or highest > MAX_ATOMIC_NUMBER:
        raise CrystalError(
            source, f"an element is outside the table, atomic numbers 1 to {MAX_ATOMIC_NUMBER}"
        )
    a, b, c = crystal.lattice.tolist()
    lengths = hypot(*a), hypot(*b), hypot(*c)
    if not (isfinite(sum(lengths)) and is_finite):
        raise CrystalError(source, "lattice or coordinates are not finite numbers")
    if max(lengths) > MAX_EDGE:
        raise CrystalError(
            source, f"the unit cell is impossible: an edge of {max(lengths):.3g} Å (at most {MAX_EDGE:,.0f})"
        )
    volume, box = _volume(a, b, c), prod(lengths)
    if volume < 1e-3 * max(box, 1.0):
        raise CrystalError(source, f"the cell has no volume ({crystal.volume:.2g} Å³)")
    if volume < MIN_ATOM_VOLUME * n_atoms:
        raise CrystalError(source, f"{n_atoms:,} atoms do not fit into {volume:.2g} Å³")
    if volume < MAX_SKEW * box and _n_images(crystal) > MAX_IMAGES:
        raise CrystalError(source, "the cell is too skewed to find neighbours in; reduce it first (Niggli)")
    distance = distance_below(MIN_DISTANCE, crystal.lattice, crystal.frac_coords)
    if distance < MIN_DISTANCE:
        raise OverlapError(source, f"two atoms are {distance:.3f} Å apart; they overlap or share one site")


@compiled
def _looked_over(numbers, frac_coords):  # type: ignore[no-untyped-def]
    """The lowest and the highest atomic number, and whether all coordinates are finite."""
    lowest, highest, is_finite = numbers[0], numbers[0], True
    for atom in range(len(numbers)):
        lowest, highest = min(lowest, numbers[atom]), max(highest, numbers[atom])
        for axis in range(3):
            is_finite &= np.isfinite(frac_coords[atom, axis])
    return lowest, highest, is_finite


def _volume(a: list[float], b: list[float], c: list[float]) -> float:
    """The volume in Å³ of the cell of three vectors; in plain numbers, as this runs for every crystal."""
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    return abs(x * c[0] + y * c[1] + z * c[2])


def _n_images(crystal: Crystal) -> float:
    """How many images of atoms lie in the box, along the cell's edges, around the sphere of 26 atoms."""
    radius = (26 * 0.75 / np.pi * crystal.volume / len(crystal)) ** (1 / 3)
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    return len(crystal) * float(np.prod(1 + 2 * radius / heights))


def as_numbers(numbers: Any) -> NDArray[np.uint8]:
    """Return atomic numbers as uint8; what is no element becomes 0, and not another element."""
    values = np.asarray(numbers)
    return np.where((values >= 1) & (values <= MAX_ATOMIC_NUMBER), values, 0).astype(np.uint8)


def fractional(
    positions: NDArray[np.float64], lattice: NDArray[np.float64], source: str
) -> NDArray[np.float64]:
    """Return fractional coordinates (n, 3) of Cartesian positions (n, 3), Å.

    lattice: its vectors as rows, Å. Raises CrystalError naming `source` if they span no volume.
    """
    try:
        return np.ascontiguousarray(np.linalg.solve(lattice.T, positions.T).T)
    except np.linalg.LinAlgError:
        raise CrystalError(source, "the cell has no volume") from None


def _from_pymatgen(structure: Any, source: str) -> Crystal:
    if not structure.is_ordered:
        raise CrystalError(source, "partial occupancy: order the structure first")
    if not all(getattr(structure.lattice, "pbc", (True, True, True))):
        raise CrystalError(source, "not periodic in three directions")
    return Crystal(
        numbers=as_numbers([site.specie.Z for site in structure]),
        lattice=np.array(structure.lattice.matrix, dtype=np.float64),
        frac_coords=np.array(structure.frac_coords, dtype=np.float64),
    )


def _from_ase(atoms: Any, source: str) -> Crystal:
    if not all(atoms.pbc):
        raise CrystalError(source, "not periodic in three directions; set atoms.pbc = True if it should be")
    lattice = np.array(atoms.cell[:], dtype=np.float64)
    return Crystal(
        numbers=as_numbers(atoms.numbers),
        lattice=lattice,
        frac_coords=fractional(np.array(atoms.positions, dtype=np.float64), lattice, source),
    )


def is_one(crystals: Any) -> bool:
    """Whether this is one crystal, not several; pymatgen's Structures and ASE's Atoms can be iterated too."""
    if isinstance(crystals, Crystal | str | Path | Mapping) or hasattr(crystals, "columns"):
        return True  # the last two are neither: as_crystal says so
    if hasattr(crystals, "lattice") or hasattr(crystals, "cell") or getattr(crystals, "ndim", 1) == 0:
        return True
    return not hasattr(crystals, "__iter__")
