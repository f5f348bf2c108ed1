"""A crystal as the page draws it: cell, atoms, symmetry, and the bonds of its graph with their images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import Crystal
from ..crystals.elements import symbols
from ..crystals.neighbors import Bonds
from ..features.element_properties import element_property
from ..graphs.packed import nodes_of
from ..settings.config import GraphConfig

MOST_ATOMS = 1_000  # of a crystal whose bonds are drawn
SYMMETRY_TOLERANCE = 0.01  # Å; that of the Materials Project is 0.1, of spglib 1e-5
GRAM_PER_CUBIC_CENTIMETRE = 1.660539  # of 1 atomic mass unit in 1 Å³ (CODATA 2018)


def drawn(crystal: Crystal, config: GraphConfig) -> dict[str, Any]:
    """Return what there is to draw and to say of a crystal that has a graph."""
    bonds, nodes = nodes_of(crystal, config)
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    coordinates = (crystal.frac_coords - np.floor(crystal.frac_coords)).tolist()
    names = [symbols()[number] for number in crystal.numbers.tolist()]
    return {
        "formula": crystal.formula,
        "n_atoms": len(crystal),
        "n_nodes": int(nodes.max()) + 1,
        "volume": crystal.volume,
        "density": float(
            element_property("atomic_mass")[crystal.numbers].sum()
            * GRAM_PER_CUBIC_CENTIMETRE
            / crystal.volume
        ),
        "space_group": _space_group(crystal),
        "cell": dict(zip(("a", "b", "c"), lengths.tolist(), strict=True)) | _angles(crystal.lattice, lengths),
        "lattice": crystal.lattice.tolist(),
        "atoms": [
            {"element": name, "fractional": place, "node": node}
            for name, place, node in zip(names, coordinates, nodes.tolist(), strict=True)
        ],
        "bonds": _bonds_with_images(crystal, bonds, config) if len(crystal) <= MOST_ATOMS else [],
    }


def _angles(lattice: NDArray[np.float64], lengths: NDArray[np.float64]) -> dict[str, float]:
    pairs = {"alpha": (1, 2), "beta": (0, 2), "gamma": (0, 1)}
    cosines = {name: lattice[i] @ lattice[j] / (lengths[i] * lengths[j]) for name, (i, j) in pairs.items()}
    return {name: float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) for name, cosine in cosines.items()}


def _space_group(crystal: Crystal) -> dict[str, Any] | None:
    """Return the space group of the atoms as they are, or None where none is found."""
    import moyopy

    positions, numbers = crystal.frac_coords.tolist(), crystal.numbers.tolist()
    try:
        cell = moyopy.Cell(crystal.lattice.tolist(), positions, numbers)
        number = moyopy.MoyoDataset(cell, symprec=SYMMETRY_TOLERANCE).number
    except Exception:  # it raises what its search for symmetry leads to
        return None
    kind = moyopy.SpaceGroupType(number)
    return {
        "number": number,
        "symbol": kind.hm_short,
        "system": str(kind.crystal_system).split(".")[-1].lower(),
    }


def _bonds_with_images(crystal: Crystal, bonds: Bonds, config: GraphConfig) -> list[dict[str, Any]]:
    """Return each bond of the graph once, with the cell that its second atom is in.

    The graph knows lengths only: a pair of atoms within reach is a bond if one of both has one of this length
    to the other.
    """
    from ase.neighborlist import primitive_neighbor_list

    real = bonds.weights > 0
    reach = float(bonds.distances[real].max(initial=0)) + 10 * config.tolerance
    wrapped = crystal.frac_coords - np.floor(crystal.frac_coords)
    first, second, lengths, images = primitive_neighbor_list(
        "ijdS", [True] * 3, crystal.lattice, wrapped @ crystal.lattice, reach
    )
    weights = _weights(bonds, len(crystal), first, second, lengths, config.tolerance)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for pair in np.flatnonzero(weights > 0).tolist():
        i, j, image = int(first[pair]), int(second[pair]), tuple(images[pair].tolist())
        back = (j, i, tuple(-shift for shift in image))
        key = min((i, j, image), back)
        weight = max(float(weights[pair]), found.get(key, {"weight": 0.0})["weight"])
        found[key] = {
            "first": key[0],
            "second": key[1],
            "image": list(key[2]),
            "length": float(lengths[pair]),
            "weight": weight,
        }
    return list(found.values())


def _weights(
    bonds: Bonds,
    n_atoms: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    lengths: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return (pairs,) the weight of the first atom's bond of this length to the second; 0: there is none."""
    owners = np.repeat(np.arange(n_atoms), np.diff(bonds.offsets))
    order = np.lexsort((bonds.distances, bonds.neighbors, owners))
    pair_of_bonds = owners[order] * n_atoms + bonds.neighbors[order]
    # one number a bond that sorts by its atoms, then by its length, which is below the step
    step = float(max(lengths.max(initial=0), bonds.distances.max(initial=0))) + 1
    keys = pair_of_bonds * step + bonds.distances[order]
    wanted = (first * n_atoms + second) * step + lengths
    place = np.clip(np.searchsorted(keys, wanted), 1, max(len(keys) - 1, 1))
    nearest = place - (wanted - keys[place - 1] < np.abs(keys[np.minimum(place, len(keys) - 1)] - wanted))
    close = np.abs(keys[nearest] - wanted) < tolerance
    return np.where(close, bonds.weights[order][nearest], 0.0)
