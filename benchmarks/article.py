"""The article's targets, under descriptive names, from the columns of the development data `mp36k_crysxpp`.

    crystallite data import mp36k_crysxpp/ -o imported.parquet
    python benchmarks/article.py imported.parquet mp36k.parquet

docs/article.md has the commands that train on what this writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from crystallite.datasets.dataset import Dataset

# Target -> its column and unit; values of 2018 where there are any, of 2023 (GGA and GGA+U) otherwise.
COLUMNS = {
    "formation_energy_per_atom": ("formation_energy_per_atom_crysxpp", "eV/atom"),
    "energy_per_atom": ("energy_per_atom_gga2023", "eV/atom"),  # with corrections
    "band_gap": ("band_gap_mp2018", "eV"),
    "fermi_energy": ("efermi_gga2023", "eV"),
    "poisson_ratio": ("homogeneous_poisson_gga2023", None),
}
LOGARITHMS = {"log10_bulk_modulus": "k_vrh_mp2018", "log10_shear_modulus": "g_vrh_mp2018"}


def with_targets(imported: Dataset) -> Dataset:
    """Return the crystals with the article's properties; a modulus that is not positive has no logarithm."""
    dataset = Dataset.from_arrays(imported.arrays, imported.ids, name="mp36k")
    for target, (column, unit) in COLUMNS.items():
        dataset = dataset.with_property(target, imported.values(column), unit)
    for target, column in LOGARITHMS.items():
        moduli = imported.values(column)
        positive = np.where(moduli > 0, moduli, np.nan)
        dataset = dataset.with_property(target, np.log10(positive), "log10(GPa)")
    return dataset.with_property("is_metal", dataset.values("band_gap") == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imported", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    with_targets(Dataset.read(options.imported)).write(options.output)


if __name__ == "__main__":
    main()
