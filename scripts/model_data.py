"""The datasets that the models of the package are trained on: cleaned targets, and the set of each crystal.

Of the test set NAME_uncleaned has all values, so that errors can be given with what is left out of
NAME and without.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystallite.datasets.builtin import builtin_path
from crystallite.datasets.dataset import Dataset
from crystallite.graphs.store import dataset_graphs
from crystallite.materials.groups import material_groups
from crystallite.materials.splits import random_split
from crystallite.settings.config import GraphConfig

SET = "set"
UNCLEANED = "_uncleaned"
Values = NDArray[np.float64]


class Target(NamedTuple):
    """A column that is learned: its values, its unit, which of them are left out, and by what rule."""

    name: str
    values: Values
    unit: str | None
    left_out: NDArray[np.bool_]
    rule: str


TWO_TIMES = "where the {} of 2018 and 2023 differ by more than 1 {}: one of the calculations failed"
UNSTABLE = (
    "where the elastic tensor is not that of a stable solid (a modulus, also as Voigt's or Reuss' average, "
    "is not positive, or Poisson's ratio is not between -1 and 0.5), or the solid is stiffer than diamond "
    "(bulk modulus above 500 GPa, shear modulus above 600 GPa)"
)
TEN = "where the refractive index is above 10: a band gap that nearly closes"


def targets_of_2018(imported: Dataset) -> list[Target]:
    """Return the properties of the article's crystals: of 2018 where there are such values, else of 2023."""
    old, new, energy, fermi, gap, later_gap, k, g, poisson = (
        imported.values(name)
        for name in (
            "formation_energy_per_atom_crysxpp", "formation_energy_per_atom_gga2023",
            "energy_per_atom_gga2023", "efermi_gga2023", "band_gap_mp2018", "band_gap_gga2023",
            "k_vrh_mp2018", "g_vrh_mp2018", "homogeneous_poisson_gga2023",
        )
    )  # fmt: skip
    averages = [imported.values(f"{m}_{kind}_gga2023") for m in "kg" for kind in ("voigt", "reuss", "vrh")]
    failed, moved = np.abs(old - new) > 1, np.abs(gap - later_gap) > 1
    unstable = np.any([modulus <= 0 for modulus in (k, g, *averages)], axis=0)
    unstable |= (poisson <= -1) | (poisson >= 0.5) | (k > 500) | (g > 600)
    metal = np.where(np.isnan(gap), np.nan, gap == 0)
    two_energies = TWO_TIMES.format("formation energies", "eV/atom")
    two_gaps = TWO_TIMES.format("band gaps", "eV")
    return [
        Target("formation_energy_per_atom", old, "eV/atom", failed, two_energies),
        Target("energy_per_atom", energy, "eV/atom", failed, two_energies),
        Target("band_gap", gap, "eV", moved, two_gaps),
        Target("fermi_energy", fermi, "eV", np.zeros(len(fermi), bool), "nothing is left out"),
        Target("is_metal", metal, None, moved, two_gaps),
        Target("bulk_modulus", k, "GPa", unstable, UNSTABLE),
        Target("shear_modulus", g, "GPa", unstable, UNSTABLE),
        Target("poisson_ratio", poisson, None, unstable, UNSTABLE),
    ]  # fmt: skip


def with_targets(dataset: Dataset, targets: Sequence[Target], sets: NDArray[np.str_]) -> Dataset:
    """Return the crystals with cleaned targets, all values of the test set beside them, and the sets."""
    made = Dataset.from_arrays(dataset.arrays, dataset.ids, name=dataset.name)
    for target in targets:
        cleaned = np.where(target.left_out, np.nan, target.values)
        tested = np.where(sets == "test", target.values, np.nan)
        made = made.with_property(target.name, cleaned, target.unit)
        made = made.with_property(f"{target.name}{UNCLEANED}", tested, target.unit)
    return made.with_property(SET, sets)


def drawn_sets(dataset: Dataset, parts: tuple[float, float, float], seed: int = 0) -> NDArray[np.str_]:
    """Return (crystals,) train, validation or test, the crystals of one material in one set."""
    groups = material_groups(dataset.ids, dataset_graphs(dataset, GraphConfig()))
    split = random_split(groups, parts, seed)
    sets = np.full(len(groups), "train", dtype="<U10")
    sets[split.validation], sets[split.test] = "validation", "test"
    return sets


def some(dataset: Dataset, known: str, names: Sequence[str]) -> Dataset:
    """Return the crystals for which a target is known, with the targets `names` and the sets."""
    rows = np.flatnonzero(np.isfinite(dataset.values(known)) | np.isfinite(dataset.values(known + UNCLEANED)))
    kept = dataset[rows]
    made = Dataset.from_arrays(kept.arrays, kept.ids, name=dataset.name)
    for name in names:
        for column in (name, name + UNCLEANED):
            made = made.with_property(column, kept.values(column), dataset.units.get(column))
    return made.with_property(SET, np.array(kept.table[SET].to_pylist()))


def in_test(dataset: Dataset) -> NDArray[np.bool_]:
    """Return (crystals,) which are in the test set, those without a cleaned value included."""
    return np.array(dataset.table[SET].to_pylist()) == "test"


def make_datasets(mp36k: Path, perov5: Path, out: Path) -> dict[str, list[Target]]:
    """Write the datasets that are not there yet, and return the targets of each."""
    imported = Dataset.read(_imported(mp36k, out / "mp36k-imported.parquet"))
    targets = {"mp36k": targets_of_2018(imported)}
    moduli = ["bulk_modulus", "shear_modulus", "poisson_ratio"]
    targets["moduli"] = [target for target in targets["mp36k"] if target.name in moduli]
    if not (out / "moduli.parquet").exists():
        made = with_targets(imported, targets["mp36k"], drawn_sets(imported, (28046, 4345, 4346)))
        made.write(out / "mp36k.parquet")
        some(made, "bulk_modulus", moduli).write(out / "moduli.parquet")
    perovskites = Dataset.read(_imported(perov5, out / "perovskites-imported.parquet"))
    nothing = np.zeros(len(perovskites), bool)
    heat = perovskites.values("heat_ref")
    name = "perovskite_formation_energy_per_cell"
    targets["perovskites"] = [Target(name, heat, "eV/cell", nothing, "nothing is left out")]
    _write(perovskites, targets["perovskites"], (15000, 1964, 1964), out / "perovskites.parquet")
    dielectric = Dataset.read(builtin_path("dielectric"))
    index = dielectric.values("refractive_index")
    targets["dielectric"] = [Target("refractive_index", index, None, index > 10, TEN)]
    _write(dielectric, targets["dielectric"], (0.7, 0.15, 0.15), out / "dielectric.parquet")
    return targets


def _write(dataset: Dataset, targets: list[Target], parts: tuple[float, float, float], path: Path) -> None:
    if not path.exists():
        with_targets(dataset, targets, drawn_sets(dataset, parts)).write(path)


def _imported(source: Path, path: Path) -> Path:
    if not path.exists():
        crystallite_command("data", "import", source, "-o", path)
    return path


def crystallite_command(*words: object) -> None:
    """Show and run a command of Crystallite; end with it where it fails."""
    print("$ crystallite", *words, flush=True)
    status = subprocess.run([sys.executable, "-m", "crystallite", *map(str, words)]).returncode
    if status:
        sys.exit(status)
