"""A structure as an OPTIMADE server describes it, made into a crystal.

Specification: https://www.optimade.org, section "Structures entries" (version 1.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...crystals.crystal import Crystal, check_crystal
from ...crystals.elements import atomic_numbers
from ...errors import CrystalError

FIELDS = (
    "lattice_vectors",
    "cartesian_site_positions",
    "species",
    "species_at_sites",
    "dimension_types",
    "structure_features",
)
FULL = 1e-3  # a concentration this close to 1 is 1


def crystal_of_entry(entry: Any, source: str) -> Crystal:
    """Return the crystal of a structures entry ({"id": ..., "attributes": {...}}).

    lattice_vectors: rows in Å. cartesian_site_positions: Å. Raises CrystalError naming `source` unless the
    structure is ordered, complete, periodic in three directions and made of known elements.
    """
    attributes = entry.get("attributes") if isinstance(entry, dict) else None
    if not isinstance(attributes, dict):
        raise CrystalError(source, "the reply has no attributes for it")
    _check_kind(attributes, source)
    try:
        lattice = np.array(attributes["lattice_vectors"], dtype=np.float64)
        positions = np.array(attributes["cartesian_site_positions"], dtype=np.float64)
        names = list(attributes["species_at_sites"])
    except (KeyError, TypeError, ValueError):
        raise CrystalError(source, "lattice vectors, positions or species are missing") from None
    if lattice.shape != (3, 3) or positions.shape != (len(names), 3):
        raise CrystalError(source, "lattice vectors, positions and species do not fit together")
    if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
        raise CrystalError(source, "lattice vectors or positions are not all known")
    numbers = _species_numbers(attributes.get("species"), set(names), source)
    if abs(np.linalg.det(lattice)) < 1e-9:
        raise CrystalError(source, "the cell has no volume")
    atoms = np.array([numbers[name] for name in names], dtype=np.uint8)
    crystal = Crystal(atoms, lattice, positions @ np.linalg.inv(lattice))
    check_crystal(crystal, source)
    return crystal


def _check_kind(attributes: dict[str, Any], source: str) -> None:
    """Refuse what is not a complete, ordered crystal by what the server says about it."""
    dimensions = attributes.get("dimension_types")
    if dimensions is not None and list(dimensions) != [1, 1, 1]:
        raise CrystalError(source, f"periodic in {dimensions.count(1)} directions, not in three")
    features = attributes.get("structure_features") or []
    if "disorder" in features:
        raise CrystalError(source, "disordered: some sites are partly occupied or vacant")
    if features and set(features) & {"implicit_atoms", "site_attachments", "assemblies"}:
        raise CrystalError(source, f"incomplete or ambiguous: {', '.join(features)}")


def _species_numbers(species: Any, names: set[Any], source: str) -> dict[Any, int]:
    """Return the atomic number of every species name; without a list of species, names are symbols."""
    if not species:
        return {name: _number(name, source) for name in names}
    numbers = {}
    for kind in species:
        if not isinstance(kind, dict) or kind.get("name") not in names:
            continue
        listed = kind.get("chemical_symbols") or []
        concentrations = kind.get("concentration") or [1.0] * len(listed)
        present = [
            (symbol, amount) for symbol, amount in zip(listed, concentrations, strict=False) if amount > 0
        ]
        if len(present) != 1 or abs(present[0][1] - 1) > FULL:
            held = ", ".join(f"{symbol} {amount:g}" for symbol, amount in present) or "nothing"
            raise CrystalError(source, f"partial occupancy: species {kind['name']} is {held}")
        if kind.get("attached"):
            raise CrystalError(source, f"species {kind['name']} stands for a group of atoms")
        numbers[kind["name"]] = _number(present[0][0], source)
    unknown = names - numbers.keys()
    if unknown:
        raise CrystalError(source, f"species {', '.join(sorted(map(str, unknown)))} is not described")
    return numbers


def _number(symbol: Any, source: str) -> int:
    number = atomic_numbers().get(symbol)
    if number is None:
        raise CrystalError(source, f"unknown element {symbol}")
    return number
