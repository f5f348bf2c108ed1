"""Test error against the number of training crystals (the article's figure 2b), with a power-law fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.figures import plot_power_law
from ..evaluation.results import Result
from ..files.csv_tables import write_csv
from ..files.writing import read_json, write_json
from ..runs import folder as run_folder
from ..runs.folder import RunConfig
from ..training.preparation import prepare
from ..training.run_data import run_dataset
from .run_group import start_all, train_all

TABLE, FIGURE = "learning_curve.csv", "learning_curve.png"


def size_configs(config: RunConfig, sizes: Sequence[int]) -> dict[str, RunConfig]:
    """Return the settings of each size: the first of the training crystals, so that larger hold smaller."""
    parts = {f"size-{size}": replace(config.data, train_limit=size) for size in sizes}
    return {name: replace(config, data=part) for name, part in parts.items()}


def plan_sizes(dataset: Dataset, config: RunConfig, sizes: Sequence[int], *, workers: int = 1) -> list[int]:
    """Return the sizes in order, each once; given none, six that double up to the whole training set.

    Raises CrystalliteError for sizes that cannot be trained or compared.
    """
    if len(config.data.targets) != 1 or config.model.task != "regression":
        raise CrystalliteError("a learning curve needs exactly one regression target")
    split = prepare(dataset, config, workers=workers).split
    whole = len(split.train)
    sizes = sorted({int(size) for size in sizes} or {whole >> k for k in range(6) if whole >> k > 1})
    if not len(split.test):
        raise CrystalliteError("a learning curve needs a test set, which is empty in this split")
    if sizes and not 2 <= sizes[0] <= sizes[-1] <= whole:
        raise CrystalliteError(
            f"sizes of a learning curve must lie between 2 and the {whole} training crystals, "
            f"not {', '.join(map(str, sizes))}"
        )
    if len(sizes) < 2:
        raise CrystalliteError("a learning curve needs at least two different sizes")
    return sizes


def train_sizes(folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any) -> Result:
    """Train on growing subsets of one training set, test all on one test set, and fit error = a N^-b.

    The folder holds config.toml and the sizes; finished sizes are kept when it is resumed.
    """
    config, sizes = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["sizes"]
    dataset = run_dataset(config, folder, data)
    configs = size_configs(config, sizes)
    start_all(dataset, configs, folder, parallel=parallel, **options)
    summaries = train_all(dataset, configs, folder, parallel=parallel, **options)
    first, (target,) = next(iter(summaries.values())), next(iter(summaries.values()))["targets"]
    unit = first["targets"][target]["unit"]
    errors = np.array([summary["targets"][target]["test_mae"] for summary in summaries.values()])
    fit = fit_power_law(np.array(sizes, dtype=np.float64), errors)
    write_csv(folder / TABLE, [("n_train", "test_mae"), *zip(sizes, errors.tolist(), strict=True)])
    plot_power_law(folder / FIGURE, np.array(sizes, dtype=np.float64), errors, fit, unit)
    summary = {
        "sizes": list(sizes),
        "task": first["task"],
        "targets": {
            target: {"unit": unit, "test_mae": errors.tolist(), "factor": fit[0], "exponent": fit[1]}
        },
        "n_test": first["n_test"],
    }
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def fit_power_law(sizes: Sequence[float] | np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Return (factor, exponent) of errors = factor x sizes^-exponent by least squares of the logarithms."""
    slope, intercept = np.polyfit(np.log(sizes), np.log(errors), 1)
    return float(np.exp(intercept)), float(-slope)
