"""A crystal: chemical elements, lattice and fractional coordinates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import CrystalError

MAX_ATOMIC_NUMBER = 100  # the element table of the published code ends at fermium
MIN_DISTANCE = 0.1  # Å; atoms closer than this are a mistake in the file


@dataclass(frozen=True, eq=False)
class Crystal:
    """A periodic crystal.

    numbers: (n,) uint8 atomic numbers. lattice: (3, 3) float64, rows are the lattice vectors in Å.
    frac_coords: (n, 3) float64 fractional coordinates, not necessarily inside [0, 1).
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


class CrystalArrays(NamedTuple):
    """Many crystals in four flat arrays, the form compiled code works on.

    lattices: (N, 3, 3) float64, rows are lattice vectors in Å. offsets: (N + 1,) int64; crystal k owns the
    atoms offsets[k] to offsets[k + 1]. numbers: (atoms,) uint8. frac_coords: (atoms, 3) float64.
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

    @property
    def n_crystals(self) -> int:
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
    if crystal.lattice.shape != (3, 3) or crystal.frac_coords.shape != (n_atoms, 3):
        raise CrystalError(source, "lattice must be 3 x 3 and every atom needs three coordinates")
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        raise CrystalError(source, "lattice or coordinates are not finite numbers")
    if crystal.numbers.min() < 1 or crystal.numbers.max() > MAX_ATOMIC_NUMBER:
        raise CrystalError(
            source, f"an element is outside the table, atomic numbers 1 to {MAX_ATOMIC_NUMBER}"
        )
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    if crystal.volume < 1e-3 * max(float(np.prod(lengths)), 1.0):
        raise CrystalError(source, f"the cell has no volume ({crystal.volume:.2g} Å³)")


def _from_pymatgen(structure: Any, source: str) -> Crystal:
    if not structure.is_ordered:
        raise CrystalError(source, "partial occupancy: order the structure first")
    return Crystal(
        numbers=np.array([site.specie.Z for site in structure], dtype=np.uint8),
        lattice=np.array(structure.lattice.matrix, dtype=np.float64),
        frac_coords=np.array(structure.frac_coords, dtype=np.float64),
    )


def _from_ase(atoms: Any, source: str) -> Crystal:
    if not all(atoms.pbc):
        raise CrystalError(source, "not periodic in three directions; set atoms.pbc = True if it should be")
    return Crystal(
        numbers=np.asarray(atoms.numbers, dtype=np.uint8),
        lattice=np.array(atoms.cell[:], dtype=np.float64),
        frac_coords=np.array(atoms.get_scaled_positions(wrap=False), dtype=np.float64),
    )
