"""Structures for the OPTIMADE reference server: real crystals, and some that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystallite.crystals.elements import symbols
from crystallite.datasets.dataset import Dataset

N_CRYSTALS = 130


def crystals() -> Dataset:
    """Return the crystals that the server has: the first of the built-in formation set."""
    return Dataset.read("formation").select(range(N_CRYSTALS))


def entries() -> list[dict[str, Any]]:
    """Return them as the server stores them, in its order of the ids, and `unusable` at the end."""
    dataset = crystals()
    energies = dataset.values("formation_energy_per_atom")
    good = [entry(dataset, row, float(energies[row])) for row in range(len(dataset))]
    return [*good, *unusable(good[0])]


def entry(dataset: Dataset, row: int, energy: float) -> dict[str, Any]:
    """Return one structure as the server stores it; its own fields get the prefix _exmpl_ in replies."""
    crystal = dataset.crystal(row)
    names = [symbols()[number] for number in crystal.numbers]
    kinds = sorted(set(names))
    species = [{"name": f"{kind}-1", "chemical_symbols": [kind], "concentration": [1.0]} for kind in kinds]
    return {
        "id": dataset.ids[row],
        "task_id": dataset.ids[row],
        "type": "structures",
        "last_modified": "2026-11-22T00:00:00Z",
        "elements": kinds,
        "nelements": len(kinds),
        "elements_ratios": [names.count(kind) / len(names) for kind in kinds],
        "chemical_formula_reduced": "".join(kinds),
        "chemical_formula_anonymous": "A",
        "chemical_formula_descriptive": "".join(kinds),
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": crystal.lattice.tolist(),
        "cartesian_site_positions": (crystal.frac_coords @ crystal.lattice).tolist(),
        "nsites": len(crystal),
        "species": species,
        "species_at_sites": [f"{name}-1" for name in names],
        "structure_features": [],
        "formation_energy": energy if row % 5 else None,
        "is_metal": bool(row % 2),
        "origin": "computed" if row % 3 else None,
        "thermo": {"pbe": {"energy": energy}} if row % 4 else None,
    }


def unusable(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a disordered structure, a slab, and one with a vacancy."""
    first, *others = model["species"]
    mixed = {**first, "chemical_symbols": [*first["chemical_symbols"], "Xe"], "concentration": [0.5, 0.5]}
    vacant = {
        **first,
        "chemical_symbols": [*first["chemical_symbols"], "vacancy"],
        "concentration": [0.9, 0.1],
    }
    lattice = np.array(model["lattice_vectors"]).tolist()
    slab = {
        "dimension_types": [1, 1, 0],
        "nperiodic_dimensions": 2,
        "lattice_vectors": [*lattice[:2], [None] * 3],
    }
    return [
        {
            **model,
            "id": "zz-1",
            "task_id": "zz-1",
            "species": [mixed, *others],
            "structure_features": ["disorder"],
        },
        {**model, "id": "zz-2", "task_id": "zz-2", **slab},
        {
            **model,
            "id": "zz-3",
            "task_id": "zz-3",
            "species": [vacant, *others],
            "structure_features": ["disorder"],
        },
    ]
