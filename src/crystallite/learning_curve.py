"""Test error against the number of training crystals (the article's figure 2b), with a power-law fit."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from . import run_folder
from .dataset import Dataset
from .errors import CrystalliteError
from .figures import plot_power_law
from .files import read_json, write_json, write_text
from .preparation import prepare, run_dataset
from .run_folder import RunConfig
from .run_group import train_all

TABLE, FIGURE = "learning_curve.csv", "learning_curve.png"


def learning_curve(
    folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any
) -> dict[str, Any]:
    """Train on growing parts of one training set, test all on one test set, and fit error = a N^-b.

    The folder holds config.toml and the sizes; finished sizes are kept when it goes on.
    """
    config, sizes = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["sizes"]
    dataset = run_dataset(config, folder, data)
    configs = {
        f"size-{size}": replace(config, data=replace(config.data, train_limit=int(size))) for size in sizes
    }
    summaries = train_all(dataset, configs, folder, parallel=parallel, **options)
    errors = np.array([summary["test_mae"] for summary in summaries.values()])
    fit = fit_power_law(np.array(sizes, dtype=np.float64), errors)
    first = next(iter(summaries.values()))
    text = StringIO()
    rows = [[size, f"{error:.7g}"] for size, error in zip(sizes, errors, strict=True)]
    csv.writer(text, lineterminator="\n").writerows([["n_train", "test_mae"], *rows])
    write_text(folder / TABLE, text.getvalue())
    plot_power_law(folder / FIGURE, np.array(sizes, dtype=np.float64), errors, fit, first["unit"][0])
    summary = {
        "target": first["target"],
        "unit": first["unit"],
        "sizes": list(sizes),
        "test_mae": errors.tolist(),
        "factor": fit[0],
        "exponent": fit[1],
        "n_test": first["n_test"],
    }
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def default_sizes(dataset: Dataset, config: RunConfig, n_points: int = 6) -> list[int]:
    """Return sizes that double up to the whole training part."""
    if len(config.data.targets) != 1 or config.model.task != "regression":
        raise CrystalliteError("a learning curve takes one regression target")
    whole = len(prepare(dataset, config).split.train)
    return sorted({max(whole >> k, 2) for k in range(n_points)})


def fit_power_law(sizes: Sequence[float] | np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Return (factor, exponent) of errors = factor x sizes^-exponent by least squares of the logarithms."""
    if len(sizes) < 2:
        raise CrystalliteError("a power law needs at least two sizes")
    slope, intercept = np.polyfit(np.log(sizes), np.log(errors), 1)
    return float(np.exp(intercept)), float(-slope)
