"""The Materials Project's documents as crystals and columns of a dataset."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ....datasets.dataset import Dataset
from ....errors import CrystalliteError
from ...reading.crystal_pile import CrystalPile
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


class Rows:
    """Materials in the order they come: crystals packed, on disk if they are many, and properties in columns.

    places: number of a material -> its place, the last one if it came twice.
    """

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self._crystals = CrystalPile()
        self._numbers = {name: array("d") for name in NUMBERS}  # NaN where missing
        self._is_metal: list[bool | None] = []
        self._deprecated: list[bool] = []
        self._days: list[str] = []
        self._raw_ids: list[str] = []

    def add(self, document: Document, number: int, deprecated: bool, day: str) -> None:
        """Add a summary document, without energies; CrystalError if the crystal is unusable."""
        name = format_id(number)
        numbers = _summary_numbers(document, name)
        is_metal = _truth(document.get("is_metal"), "is_metal", name)
        crystal = crystal_of(document.get("structure"), name)
        self.places[number] = len(self._crystals)
        self._crystals.add(crystal)
        for column, values in self._numbers.items():
            values.append(numbers.get(column, math.nan))
        self._is_metal.append(is_metal)
        self._deprecated.append(deprecated)
        self._days.append(day)
        self._raw_ids.append(str(document["material_id"]))

    def add_energies(self, document: Document, number: int) -> None:
        """Set the energies of a material that is here to those of a thermo document, eV/atom."""
        for name in ENERGIES:
            self._numbers[name][self.places[number]] = _number(document.get(name), name, format_id(number))

    def dataset(
        self, numbers: Sequence[int], thermo_type: str, facts: Mapping[str, str], name: str
    ) -> Dataset:
        """Return the dataset of these materials, in this order. facts: database_version and source."""
        places = [self.places[number] for number in numbers]

        def taken(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
            return pa.array([values[place] for place in places], kind)

        columns: dict[str, Any] = {
            column: np.frombuffer(values)[places] for column, values in self._numbers.items()
        }
        no_energy = np.isnan(columns["energy_per_atom"])
        columns |= {
            "is_metal": taken(self._is_metal, pa.bool_()),
            "deprecated": taken(self._deprecated, pa.bool_()),
            "thermo_type": pa.array([None if none else thermo_type for none in no_energy], pa.string()),
            "database_version": pa.array([facts["database_version"]] * len(places), pa.string()),
            "query_date": taken(self._days, pa.string()),
            "raw_id": taken(self._raw_ids, pa.string()),
        }
        crystals = self._crystals.arranged(places)
        ids = [format_id(number) for number in numbers]
        metadata = {**METADATA, **facts}
        return Dataset.from_arrays(crystals.arrays, ids, columns, UNITS, name=name, metadata=metadata)


def _summary_numbers(document: Document, name: str) -> dict[str, float]:
    """Return the numbers of a summary document."""
    numbers = {
        "band_gap": _number(document.get("band_gap"), "band_gap", name),
        "fermi_energy": _number(document.get("efermi"), "efermi", name),
        "poisson_ratio": _number(document.get("homogeneous_poisson"), "homogeneous_poisson", name),
    }
    for modulus in MODULI:
        averages = document.get(modulus) or {}
        if not isinstance(averages, dict):
            raise _unexpected(name, modulus, averages)
        vrh, voigt, reuss = (_number(averages.get(key), modulus, name) for key in ("vrh", "voigt", "reuss"))
        numbers |= {modulus: vrh, f"{modulus}_voigt": voigt, f"{modulus}_reuss": reuss}
        numbers[f"log10_{modulus}"] = math.log10(vrh) if vrh > 0 else math.nan
    return numbers


def _number(value: Any, field: str, name: str) -> float:
    """Return a value, NaN if it is missing or not finite."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(name, field, value)
    return float(value) if math.isfinite(value) else math.nan


def _truth(value: Any, field: str, name: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _unexpected(name, field, value)


def _unexpected(name: str, field: str, value: Any) -> CrystalliteError:
    return CrystalliteError(f"the Materials Project answered {field} of {name} as {str(value)[:60]!r}")
