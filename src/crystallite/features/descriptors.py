"""Descriptors of crystals: some hundred numbers of composition, cell and bonds, made without any learning.

They depend on the crystal alone: not on the order of its atoms, the origin, the choice of the cell or a
supercell. Files of models hold numbers for these descriptors in this order, so both stay as they are.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ..crystals import element_properties as element_properties_
from ..crystals.crystal import CrystalArrays
from ..crystals.element_properties import PROPERTIES, element_properties, element_property
from ..crystals.primitive import primitive_cells
from ..graphs.packed import GraphBatch, Indices
from . import atoms as atoms_
from .atoms import ATOM_VALUES, atom_values
from .statistics import Grouping

Values = NDArray[np.float64]
GRAMS_PER_CM3 = 1.66053907  # of one u/Å³

_CELL = {
    "volume_per_atom": "volume of an atom (Å³)",
    "log_volume_per_atom": "its natural logarithm",
    "density": "density (g/cm³)",
    "packing_fraction": "share of the volume that spheres of the covalent radii fill",
    "n_elements": "number of chemical elements",
    "mixing_entropy": "-sum of c ln c over the elements' shares c of the atoms",
}
_PRIMITIVE = {
    "primitive_atoms": "number of atoms of the primitive cell",
    "longest_edge": "longest edge of the reduced primitive cell (Å)",
    "shortest_edge": "shortest edge of the reduced primitive cell (Å)",
}
_OF_ELEMENTS = ("mean", "deviation", "minimum", "maximum", "range")
_OF_ATOMS = ("mean", "deviation", "minimum", "maximum")

# Name -> what it is.
DESCRIPTORS = {
    **{f"{name}_{kind}": f"{kind} over atoms of the {name.replace('_', ' ')}"
       for kind in _OF_ELEMENTS for name in PROPERTIES},
    **_CELL,
    **{f"{name}_{kind}": f"{kind} over atoms of {what}"
       for kind in _OF_ATOMS for name, what in ATOM_VALUES.items()},
    **_PRIMITIVE,
}  # fmt: skip

UNITS = {
    **{f"{name}_{kind}": unit for kind in _OF_ELEMENTS for name, unit in element_properties_.UNITS.items()},
    "volume_per_atom": "Å³",
    "density": "g/cm³",
    "longest_edge": "Å",
    "shortest_edge": "Å",
    **{f"{name}_{kind}": unit for kind in _OF_ATOMS for name, unit in atoms_.UNITS.items()},
}


def descriptor_values(batch: GraphBatch) -> Values:
    """Return (crystals, DESCRIPTORS) of graphs that know their crystals, reduced or not."""
    if not len(batch.rows):
        return np.empty((0, len(DESCRIPTORS)))
    assert batch.crystals is not None
    atoms = Grouping.of(batch)
    of_elements = element_properties()[batch.numbers]
    of_bonds = atom_values(batch)
    smallest, largest = atoms.minimum(of_elements), atoms.maximum(of_elements)
    return np.hstack(
        [
            atoms.mean(of_elements), atoms.deviation(of_elements), smallest, largest, largest - smallest,
            _cell_values(batch, _volumes(batch.crystals, batch.rows), atoms),
            atoms.mean(of_bonds), atoms.deviation(of_bonds), atoms.minimum(of_bonds), atoms.maximum(of_bonds),
            primitive_cells(batch.crystals, batch.rows),
        ]
    )  # fmt: skip


def typical_sizes(values: Values) -> Values:
    """Return (descriptors,) how large each descriptor and its kin (mean, deviation, ...) are.

    values: (crystals, descriptors). What is much smaller than that is rounding, as the deviation of equal
    values is.
    """
    sizes = np.abs(values).mean(axis=0)
    kin = [re.sub("_(mean|deviation|minimum|maximum|range)$", "", name) for name in DESCRIPTORS]
    largest: dict[str, float] = {}
    for name, size in zip(kin, sizes.tolist(), strict=True):
        largest[name] = max(size, largest.get(name, 0.0))
    return np.array([largest[name] for name in kin])


def _volumes(crystals: CrystalArrays, rows: Indices) -> Values:
    """Return (rows,) the volume of an atom in Å³."""
    n_atoms = np.diff(crystals.offsets)[rows]
    return np.asarray(np.abs(np.linalg.det(crystals.lattices[rows])) / n_atoms)


def _cell_values(batch: GraphBatch, volume: Values, atoms: Grouping) -> Values:
    """Return (crystals, _CELL); volume: (crystals,) of an atom in Å³."""
    spheres = 4 / 3 * np.pi * element_property("covalent_radius")[batch.numbers] ** 3
    mass = element_property("atomic_mass")[batch.numbers]
    of_atoms = atoms.mean(np.stack([spheres, mass], axis=1))
    shares = _element_shares(batch, atoms)
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.stack(
        [
            volume,
            np.log(volume),
            GRAMS_PER_CM3 * of_atoms[:, 1] / volume,
            of_atoms[:, 0] / volume,
            (shares > 0).sum(axis=1),
            -(shares * logarithms).sum(axis=1),
        ],
        axis=1,
    )


def _element_shares(batch: GraphBatch, atoms: Grouping) -> Values:
    """Return (crystals, 101) the share of each element among the atoms."""
    n_crystals = len(batch.node_offsets) - 1
    crystals = np.repeat(np.arange(n_crystals), np.diff(batch.node_offsets))
    counts = np.zeros((n_crystals, 101))
    np.add.at(counts, (crystals, batch.numbers), atoms.weights)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
