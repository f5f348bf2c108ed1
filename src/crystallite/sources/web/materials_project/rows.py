"""The Materials Project's documents as crystals and columns of a dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ....crystals.crystal import Crystal, pack_crystals
from ....datasets.dataset import Dataset
from ....errors import CrystalliteError
from ...reading.known_properties import UNITS as ENERGY_UNITS
from ...reading.pymatgen_json import crystal_of
from .ids import format_id
from .queries import Document

SUMMARY_FIELDS = (
    "material_id",
    "structure",
    "band_gap",
    "efermi",
    "is_metal",
    "bulk_modulus",
    "shear_modulus",
    "homogeneous_poisson",
)
ENERGIES = (
    "formation_energy_per_atom",
    "energy_per_atom",
    "uncorrected_energy_per_atom",
    "energy_above_hull",
)
THERMO_FIELDS = ("material_id", "thermo_type", *ENERGIES)
MODULI = ("bulk_modulus", "shear_modulus")  # K and G; plain names are Voigt-Reuss-Hill averages

UNITS = {
    **ENERGY_UNITS,
    **{f"{name}{average}": "GPa" for name in MODULI for average in ("", "_voigt", "_reuss")},
    **{f"log10_{name}": "log10(GPa)" for name in MODULI},
}
NUMBERS = (*UNITS, "poisson_ratio")
METADATA = {
    "title": "Materials Project",
    "description": "Moduli are Voigt-Reuss-Hill averages where the name does not say Voigt or Reuss. "
    "energy_per_atom is corrected, uncorrected_energy_per_atom is the calculation's own.",
    "citation": "A. Jain et al., Commentary: The Materials Project: A materials genome approach to "
    "accelerating materials innovation, APL Materials 1, 011002 (2013)",
    "doi": "10.1063/1.4812323",
    "licence": "Materials Project, CC-BY-4.0",
}


class Row(NamedTuple):
    """A material: its crystal, its properties (None where missing), and where they come from."""

    number: int
    crystal: Crystal
    values: dict[str, float | bool | None]
    deprecated: bool
    raw_id: str
    query_date: str


def read_summary(document: Document, number: int, deprecated: bool, day: str) -> Row:
    """Return the row of a summary document, without energies; CrystalError if the crystal is unusable."""
    name = format_id(number)
    values: dict[str, float | bool | None] = {
        "band_gap": _number(document.get("band_gap"), "band_gap", name),
        "fermi_energy": _number(document.get("efermi"), "efermi", name),
        "poisson_ratio": _number(document.get("homogeneous_poisson"), "homogeneous_poisson", name),
        "is_metal": _truth(document.get("is_metal"), "is_metal", name),
    }
    for modulus in MODULI:
        averages = document.get(modulus) or {}
        if not isinstance(averages, dict):
            raise _unexpected(name, modulus, averages)
        vrh, voigt, reuss = (_number(averages.get(key), modulus, name) for key in ("vrh", "voigt", "reuss"))
        values |= {modulus: vrh, f"{modulus}_voigt": voigt, f"{modulus}_reuss": reuss}
        values[f"log10_{modulus}"] = math.log10(vrh) if vrh is not None and vrh > 0 else None
    crystal = crystal_of(document.get("structure"), name)
    return Row(number, crystal, values, deprecated, str(document["material_id"]), day)


def read_energies(document: Document, number: int) -> dict[str, float | None]:
    """Return the energies of a thermo document, eV/atom."""
    return {name: _number(document.get(name), name, format_id(number)) for name in ENERGIES}


def build_dataset(rows: Sequence[Row], thermo_type: str, facts: Mapping[str, str], name: str) -> Dataset:
    """Return the dataset of `rows`. facts: database_version and source."""
    columns: dict[str, pa.Array] = {
        column: pa.array([row.values.get(column) for row in rows], pa.float64()) for column in NUMBERS
    }
    has_energy = [row.values.get("energy_per_atom") is not None for row in rows]
    columns |= {
        "is_metal": pa.array([row.values["is_metal"] for row in rows], pa.bool_()),
        "deprecated": pa.array([row.deprecated for row in rows], pa.bool_()),
        "thermo_type": pa.array([thermo_type if known else None for known in has_energy], pa.string()),
        "database_version": pa.array([facts["database_version"]] * len(rows), pa.string()),
        "query_date": pa.array([row.query_date for row in rows], pa.string()),
        "raw_id": pa.array([row.raw_id for row in rows], pa.string()),
    }
    arrays = pack_crystals(row.crystal for row in rows)
    ids = [format_id(row.number) for row in rows]
    return Dataset.from_arrays(arrays, ids, columns, UNITS, name=name, metadata={**METADATA, **facts})


def _number(value: Any, field: str, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(name, field, value)
    return float(value) if math.isfinite(value) else None


def _truth(value: Any, field: str, name: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _unexpected(name, field, value)


def _unexpected(name: str, field: str, value: Any) -> CrystalliteError:
    return CrystalliteError(f"the Materials Project answered {field} of {name} as {str(value)[:60]!r}")
