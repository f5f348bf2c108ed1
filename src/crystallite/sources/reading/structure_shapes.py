"""The shapes a structure has in JSON and MessagePack: dictionaries of pymatgen, JARVIS, OPTIMADE, or text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...crystals.crystal import Crystal, check_crystal, fractional
from ...crystals.elements import number_of
from ...errors import CrystalError
from .optimade_entries import crystal_of_entry
from .pymatgen_json import crystal_of, from_json

PYMATGEN, JARVIS, OPTIMADE = {"lattice", "sites"}, {"lattice_mat", "coords", "elements"}, {"attributes"}
RECORD_KEYS = ("structure", "atoms", "cif")  # where a record has its structure, in this order
ID_KEYS = (
    "material_id",
    "jid",
    "entry_id",
)  # of records: the Materials Project's, JARVIS's, pymatgen's entries
ID_TEXTS = (
    "string",
    "identifier",
    "$oid",
)  # the id in an object that stands for one: MPID, AlphaID, MongoDB's
KNOWN = (
    "known are {id: structure}, {id: {structure, properties}}, lists and lines of either, Matbench tasks, "
    "pandas tables, OPTIMADE responses and JARVIS records (docs/archives.md)"
)


def is_structure(value: Any) -> bool:
    """Whether the value is meant as a structure, be it a good one or not."""
    if isinstance(value, str):
        return value.lstrip().startswith("{") or "_cell_length_a" in value
    return isinstance(value, dict) and bool(value.keys() & PYMATGEN or value.keys() >= JARVIS)


def is_record(value: Any) -> bool:
    """Whether the value is a dictionary with a structure in it, and perhaps an id and properties."""
    if not isinstance(value, dict) or is_structure(value):
        return False
    return any(is_structure(value.get(key)) for key in RECORD_KEYS) or isinstance(
        value.get("attributes"), dict
    )


def structure_of(value: Any, place: str) -> Crystal:
    """Return the crystal of a structure in any of the shapes; raises CrystalError naming `place`."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = from_json(value, place)
    if isinstance(value, dict) and value.keys() >= JARVIS:
        return _jarvis_crystal(value, place)
    if isinstance(value, dict) and not value.keys() & PYMATGEN:
        found = f"a dictionary with {_named(value)}"
        raise CrystalError(place, f"no structure but {found}; {KNOWN}")
    return crystal_of(value, place)


def split_record(record: Mapping[str, Any], id_column: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return id (None if it has none), structure and properties of a record."""
    if isinstance(record.get("attributes"), dict):
        properties = {key: value for key, value in record["attributes"].items() if key.startswith("_")}
        return record.get("id"), {"attributes": record["attributes"]}, properties
    given = (key for key in (id_column, *ID_KEYS) if record.get(key) is not None)
    id_key = next(given, id_column)
    structure_key = next((key for key in RECORD_KEYS if key in record), "")
    used = {id_key, structure_key}
    properties = {key: value for key, value in record.items() if key not in used}
    return record.get(id_key), record.get(structure_key), properties


def record_crystal(structure: Any, place: str) -> Crystal:
    """Return the crystal of what split_record gives as the structure."""
    if isinstance(structure, dict) and structure.keys() == OPTIMADE:
        try:
            return crystal_of_entry(structure, place)
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
            raise CrystalError(place, f"not a structure as OPTIMADE describes it: {error}") from None
    return structure_of(structure, place)


def id_text(value: Any) -> str | None:
    """Return an id as text, None for a missing one; raises ValueError for what is neither text nor number."""
    if isinstance(value, dict):
        value = next((value[key] for key in ID_TEXTS if isinstance(value.get(key), str)), value)
    if value is None or value != value:  # NaN alone is not itself
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the id is no text but {_described(value)}")
    return str(value)


def described_shape(value: Any) -> str:
    """Return what a value is, for messages about a shape that is not known."""
    return f"{_described(value)}; {KNOWN}"


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dictionary with {_named(value)}"
    return {list: "a list", str: "text", type(None): "null", bool: "a truth value"}.get(
        type(value), "a number"
    )


def _named(value: Mapping[str, Any]) -> str:
    keys = [str(key)[:40] for key in list(value)[:6]]
    return f"the keys {', '.join(keys)}{', ...' if len(value) > 6 else ''}" if keys else "nothing in it"


def _jarvis_crystal(atoms: Mapping[str, Any], place: str) -> Crystal:
    """Return the crystal of JARVIS's Atoms.to_dict: lattice_mat in Å, coords fractional unless cartesian."""
    try:
        symbols = list(atoms["elements"])
        lattice = np.array(atoms["lattice_mat"], np.float64)
        coords = np.array(atoms["coords"], np.float64)
        numbers = [number_of(name) for name in symbols]
        cartesian = bool(atoms.get("cartesian", False))
        if cartesian:
            coords = fractional(coords, lattice, place)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CrystalError(place, f"not a structure as JARVIS writes it: {error}") from None
    if None in numbers:
        raise CrystalError(place, f"unknown element {symbols[numbers.index(None)]}")
    crystal = Crystal(np.array(numbers, np.uint8), lattice, coords)
    check_crystal(crystal, place)
    return crystal
