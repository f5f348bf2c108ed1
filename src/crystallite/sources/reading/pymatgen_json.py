"""The dictionaries pymatgen's Structure.as_dict makes, read and written without pymatgen."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ...crystals.crystal import Crystal, check_crystal
from ...crystals.elements import number_of, symbols
from ...errors import CrystalError

OCCUPANCY_TOLERANCE = 1e-3


def crystal_of(structure: Any, source: str) -> Crystal:
    """Return the crystal of a pymatgen dictionary, of its JSON text, or of the text of a CIF.

    Read are lattice.matrix (rows are the lattice vectors, Å), sites[].species and sites[].abc (fractional
    coordinates), bit for bit. Raises CrystalError naming `source` for anything else, for partial occupancy,
    and for a structure that is not periodic in three directions.
    """
    if isinstance(structure, str):
        structure = _of_text(structure, source)
        if isinstance(structure, Crystal):
            return structure
    if not isinstance(structure, dict):
        raise CrystalError(source, "no structure: a dictionary with lattice and sites is needed")
    try:
        lattice = np.array(structure["lattice"]["matrix"], np.float64)
        periodic = all(structure["lattice"].get("pbc", (True, True, True)))
        numbers = np.array([_atomic_number(site["species"]) for site in structure["sites"]], np.uint8)
        frac_coords = np.array([site["abc"] for site in structure["sites"]], np.float64)
    except KeyError as error:
        raise CrystalError(source, f"the structure has no {error}") from None
    except _SpeciesError as error:
        raise CrystalError(source, str(error)) from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CrystalError(source, f"not a structure as pymatgen writes it: {error}") from None
    if not periodic:
        raise CrystalError(source, "not periodic in three directions")
    crystal = Crystal(numbers, lattice, frac_coords)
    check_crystal(crystal, source)
    return crystal


def structure_dict(crystal: Crystal) -> dict[str, Any]:
    """Return what pymatgen's Structure.as_dict returns for the crystal; numbers are exact."""
    matrix = crystal.lattice
    names = [symbols()[number] for number in crystal.numbers.tolist()]
    abc, xyz = crystal.frac_coords.tolist(), (crystal.frac_coords @ matrix).tolist()
    lengths = np.linalg.norm(matrix, axis=1)
    cosines = [matrix[i] @ matrix[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    parameters = [*lengths.tolist(), *np.degrees(np.arccos(np.clip(cosines, -1, 1))).tolist()]
    cell = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), parameters, strict=True))
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": matrix.tolist(), "pbc": [True] * 3, **cell, "volume": crystal.volume},
        "properties": {},
        "sites": [
            {"species": [{"element": name, "occu": 1}], "abc": a, "properties": {}, "label": name, "xyz": x}
            for name, a, x in zip(names, abc, xyz, strict=True)
        ],
    }


class _SpeciesError(Exception):
    """Why the species of a site are not one element."""


def _atomic_number(species: list[dict[str, Any]]) -> int:
    """Return the atomic number of a site's only species."""
    if len(species) != 1 or abs(species[0]["occu"] - 1) > OCCUPANCY_TOLERANCE:
        listed = ", ".join(f"{one.get('element')} {one.get('occu')}" for one in species) or "nothing"
        raise _SpeciesError(f"partial occupancy: a site holds {listed}; order the structure first")
    symbol = species[0]["element"]
    number = number_of(symbol)
    if number is None:
        raise _SpeciesError(f"unknown element {symbol}")
    return number


def from_json(text: str, source: str) -> Any:
    """Return the value of a JSON text; raises CrystalError naming `source`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CrystalError(source, f"not JSON: {error}") from None


def _of_text(text: str, source: str) -> Any:
    if text.lstrip().startswith("{"):
        return from_json(text, source)
    from ...crystals.cif import parse_cif

    return parse_cif(text, source)
