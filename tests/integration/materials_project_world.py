"""Some 200 real crystals under changed ids: the data that the Materials Project's server runs on in tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystallite.datasets.dataset import Dataset

N_FORMATION = 120
N_ELASTIC = 80
LAST_LEGACY = 3_347_529  # greater ids have no mp-<number> form
NOT_LISTED = 13  # the task ids of every 13th material leave out the material's own id
DEPRECATED = 17
RESTRICTED = 60  # licence that needs accepted terms: the server acts as if it were not there
OXYGEN = 8  # its atomic number
MISSING = [9_000_001, 42, 1_900_007]  # asked for but in no material


def world() -> list[dict[str, Any]]:
    """Return the materials, each with number, tasks, deprecated, license, crystal, values and thermo."""
    formation, elastic = Dataset.read("formation"), Dataset.read("elastic")
    crystals = [*_spread(formation, N_FORMATION), *_spread(elastic, N_ELASTIC)]
    return [_material(index, *crystal) for index, crystal in enumerate(crystals)]


def requested(materials: list[dict[str, Any]]) -> list[int]:
    """Return ids to ask for: a task of every material, two of every third, its own id, and missing ones."""
    numbers: list[int] = []
    for index, material in enumerate(materials):
        other = [task for task in material["tasks"] if task != material["number"]]
        numbers += other[: 2 if index % 3 == 0 else 1] if index % 5 else [material["number"]]
    return [*numbers, *MISSING]


def _spread(dataset: Dataset, count: int) -> list[tuple[Dataset, int]]:
    return [(dataset, int(row)) for row in np.linspace(0, len(dataset) - 1, count)]


def _number(index: int) -> int:
    return 2_000_000 + 7 * index if index % 9 else LAST_LEGACY + 1 + index


def _material(index: int, dataset: Dataset, row: int) -> dict[str, Any]:
    crystal, number = dataset.crystal(row), _number(index)
    own = [] if index % NOT_LISTED == 0 else [number]
    deprecated = index % DEPRECATED == 3
    next_task = [500_000 + 2 * (index + 1)] if deprecated else []  # is also in a material that is not
    return {
        "number": number,
        "tasks": [500_000 + 2 * index, *own, 700_000 + index, *next_task],
        "deprecated": deprecated,
        "license": "BY-NC" if index % RESTRICTED == 59 else "BY-C",
        "lattice": crystal.lattice.tolist(),
        "numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "values": _values(index, dataset, row),
        "thermo": _thermo(index, dataset, row),
    }


def _values(index: int, dataset: Dataset, row: int) -> dict[str, Any]:
    """Return the summary's properties: K, G and Poisson ratio of `elastic` are real, the rest is made up."""
    gap = 0.0 if index % 2 else 0.25 * (index % 20)
    values: dict[str, Any] = {"band_gap": gap, "is_metal": gap == 0.0, "efermi": 0.1 * index - 3.0}
    if dataset.name != "elastic":
        return {**values, "bulk_modulus": None, "shear_modulus": None, "homogeneous_poisson": None}
    for name in ("bulk_modulus", "shear_modulus"):
        middle = float(dataset.values(name)[row]) * (-1.0 if index % 29 == 0 else 1.0)
        values[name] = {"voigt": middle + 1.5, "reuss": middle - 1.5, "vrh": middle}
    return {**values, "homogeneous_poisson": float(dataset.values("poisson_ratio")[row])}


def _thermo(index: int, dataset: Dataset, row: int) -> dict[str, dict[str, Any]]:
    """Return energies by thermo type; every 11th material has no GGA_GGA+U row, every 4th no r2SCAN row."""
    base = float(dataset.values("formation_energy_per_atom")[row]) if dataset.name == "formation" else -0.5
    shifts = {"GGA_GGA+U": 0.0, "r2SCAN": 0.01, "GGA_GGA+U_R2SCAN": 0.02}
    absent = {"GGA_GGA+U": index % 11 == 0, "r2SCAN": index % 4 == 0}
    correction = -0.01 - 0.687 * float((dataset.crystal(row).numbers == OXYGEN).mean())
    return {
        kind: {
            "formation_energy_per_atom": base + shift,
            "energy_per_atom": base + shift - 4.0,
            "uncorrected_energy_per_atom": base + shift - 4.0 - correction,
            "energy_above_hull": 0.001 * index,
        }
        for kind, shift in shifts.items()
        if not absent.get(kind, False)
    }
