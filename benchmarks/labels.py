"""How much of the formation energy's test error goes with labels that changed from 2018 to 2023.

    python benchmarks/labels.py article/imported.parquet article/formation_energy-300/test_predictions.csv

Both are made by benchmarks/article.py. Later values differ by other corrections too, which depend on the
composition: what gradient boosting on the elements' shares, fitted to the other four fifths of the crystals,
tells of the difference is no change. Takes a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict

from crystallite.datasets.dataset import Dataset

OLD, NEW = "formation_energy_per_atom_crysxpp", "formation_energy_per_atom_gga2023"
CHANGED = 0.05  # eV/atom


def shares_of_elements(dataset: Dataset) -> NDArray[np.float64]:
    """Return (crystals, 119): the share of each element in the atoms."""
    arrays = dataset.arrays
    crystals = np.repeat(np.arange(arrays.n_crystals), np.diff(arrays.offsets))
    counts = np.zeros((arrays.n_crystals, 119))
    np.add.at(counts, (crystals, arrays.numbers), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def changes(dataset: Dataset) -> pd.Series:
    """Return by id how much a value changed beyond what its composition tells, where both are known."""
    difference = dataset.values(NEW) - dataset.values(OLD)
    known = np.isfinite(difference)
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, random_state=0)
    expected = cross_val_predict(model, shares_of_elements(dataset)[known], difference[known], cv=5)
    return pd.Series(difference[known] - expected, np.array(dataset.ids)[known])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imported", type=Path, help="the dataset with the values of both years")
    parser.add_argument("predictions", type=Path, help="test_predictions.csv of a run")
    options = parser.parse_args()
    table = pd.read_csv(options.predictions, index_col="material_id")
    true, predicted = table.iloc[:, 0], table.iloc[:, 1]
    error = (predicted - true).abs()
    change = changes(Dataset.read(options.imported)).reindex(error.index)
    for name, chosen in (
        ("all", error.notna()), (f"changed by more than {CHANGED} eV/atom", change.abs() > CHANGED),
        ("changed by less", change.abs() <= CHANGED), ("no value of 2023", change.isna()),
    ):  # fmt: skip
        share, mean, median = chosen.mean(), error[chosen].mean(), error[chosen].median()
        print(f"{name}: {share:.1%} of {len(error)}, MAE {mean:.4f}, median {median:.4f} eV/atom")


if __name__ == "__main__":
    main()
