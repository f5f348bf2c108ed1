"""What is measured on the test set when a training run ends: predictions, errors, figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..evaluation.metrics import (
    accuracy,
    area_under_curve,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from ..evaluation.results import Result, known_or_none
from ..files.writing import file_stems
from ..runs import folder as run_folder
from ..runs.predictions import write_predictions
from ..settings.config import Task
from .learner import Learner


def write_test_results(
    trainer: Learner, dataset: Dataset, folder: Path, predicted: NDArray[np.float64]
) -> Result:
    """Write the table of the test set, (rows, targets) predicted, and return the summary."""
    rows, targets, best = trainer.split.test, trainer.targets, trainer.best
    assert best is not None
    truth = trainer.values[rows]
    ids = dataset.ids
    write_predictions(
        folder / run_folder.PREDICTIONS, [ids[row] for row in rows], targets.names, truth, predicted
    )
    train_values = trainer.values[trainer.split.train]
    of_targets = {
        name: {
            "unit": unit,
            "n_known": int(np.isfinite(truth[:, k]).sum()),
            **_test_errors(targets.task, truth[:, k], predicted[:, k], train_values[:, k]),
            **best["targets"][name],
        }
        for k, (name, unit) in enumerate(zip(targets.names, targets.units, strict=True))
    }
    return {
        "task": targets.task,
        "targets": of_targets,
        "validation_error": best["validation_error"],
        "best_epoch": best["epoch"],
        "epochs": trainer.epoch,
        "n_train": len(trainer.split.train),
        "n_validation": len(trainer.split.validation),
        "n_test": len(rows),
    }


def _test_errors(
    task: Task, truth: NDArray[np.float64], predicted: NDArray[np.float64], train_values: NDArray[np.float64]
) -> dict[str, float | None]:
    """Return the test errors of one target beside those of predicting the training mean (or majority)."""
    mean = np.full(len(truth), np.nanmean(train_values))
    if task == "classification":
        errors = {
            "test_auc": area_under_curve(truth, predicted),
            "test_accuracy": accuracy(truth, predicted),
            "baseline_accuracy": accuracy(truth, mean),
        }
    else:
        errors = {
            "test_mae": mean_absolute_error(truth, predicted),
            "baseline_mae": mean_absolute_error(truth, mean),
            "test_rmse": root_mean_square_error(truth, predicted),
            "test_r2": r_squared(truth, predicted),
        }
    return {name: known_or_none(value) for name, value in errors.items()}


def draw_figures(trainer: Learner, folder: Path, predicted: NDArray[np.float64]) -> None:
    """Draw the epochs, and for each target (rows, targets) predicted values of the test set."""
    from ..evaluation.figures import plot_learning_curve, plot_parity, plot_roc

    if trainer.config.epochs > 1:
        plot_learning_curve(folder / run_folder.LEARNING_CURVE, trainer.history)
    targets, stems = trainer.targets, file_stems(trainer.targets.names)
    truth = trainer.values[trainer.split.test]
    for k, (name, unit) in enumerate(zip(targets.names, targets.units, strict=True)):
        if not np.isfinite(truth[:, k]).any():
            continue
        if targets.task == "classification":
            plot_roc(folder / "roc.png", truth[:, k], predicted[:, k], name)
        else:
            file = run_folder.PARITY if len(targets.names) == 1 else f"parity_{stems[k]}.png"
            plot_parity(folder / file, truth[:, k], predicted[:, k], name, unit)
