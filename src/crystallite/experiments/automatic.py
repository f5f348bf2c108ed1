"""The recipe auto: a network, a kernel machine on descriptors, or their mean, by the validation error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.metrics import area_under_curve
from ..evaluation.results import Result, known_or_none
from ..files.writing import write_json
from ..graphs.store import dataset_graphs
from ..models.checkpoint import read_model
from ..models.inference import predict_graphs
from ..models.loading import ALONE, ENSEMBLE
from ..runs import folder as run_folder
from ..runs.folder import BEST, RunConfig
from ..settings.recipes import RECIPES
from ..training.preparation import prepare
from ..training.run_data import run_dataset
from .ensembles import Trained, calibrated, trained

NETWORK, KERNEL, MEAN = "network", "kernel", "mean"
CLEARLY = 0.95  # one alone is taken where its validation error is below this share of that of the mean


def automatic_configs(config: RunConfig) -> dict[str, RunConfig]:
    """Return the settings of a network and of a kernel machine on the same split and graphs."""
    model, training = RECIPES["small"]
    model = replace(model, task=config.model.task, n_outputs=config.model.n_outputs)
    training = replace(training, seed=config.training.seed)
    return {NETWORK: config, KERNEL: replace(config, model=model, training=training)}


def plan_automatic(dataset: Dataset, config: RunConfig, n_models: int, *, workers: int = 1) -> int:
    """Return the number of models; raises CrystalliteError if they cannot be trained or compared."""
    if config.model.method == "kernel":
        raise CrystalliteError(
            "the recipe auto trains a network and a kernel machine: leave the recipe small out"
        )
    for member in automatic_configs(config).values():
        trainer = prepare(dataset, member, workers=workers)
    if not len(trainer.split.validation):
        raise CrystalliteError("the recipe auto chooses by the validation set, which is empty in this split")
    return n_models


def train_automatic(
    folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any
) -> Result:
    """Train what is missing of network and kernel machine, choose, and return the summary.

    `validation_errors` in it are those of both and of their mean; `chosen` says which is taken. The model of
    the folder is that one.
    """
    config = RunConfig.read(folder)
    dataset = run_dataset(config, folder, data)
    done = trained(folder, dataset, automatic_configs(config), parallel=parallel, **options)
    errors = validation_errors(folder, dataset, config, done)
    chosen = _chosen(errors)
    if chosen == MEAN:
        summary = calibrated(folder, dataset, config, done)
    else:
        write_json(folder / ENSEMBLE, {"members": [chosen], "calibration": ALONE})
        summary = dict(done.summaries[chosen])
    known = {name: known_or_none(error) for name, error in errors.items()}
    summary |= {"chosen": chosen, "validation_errors": known}
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def _chosen(errors: dict[str, float]) -> str:
    """Return what is taken; the mean where an error is not known (NaN)."""
    best = min((NETWORK, KERNEL), key=lambda name: errors[name])
    return best if errors[best] < CLEARLY * errors[MEAN] else MEAN


def validation_errors(folder: Path, dataset: Dataset, config: RunConfig, done: Trained) -> dict[str, float]:
    """Return the errors of network, kernel machine and mean on the validation set.

    Mean absolute errors of the targets in units of their spread over the training set, or 1 - AUC.
    """
    trainer = prepare(dataset, config, split=done.split)
    rows, targets = done.split.validation, trainer.targets
    graphs, truth = dataset_graphs(dataset, config.graph), trainer.values[rows]
    predicted = {
        name: predict_graphs(read_model(folder / name / BEST), graphs, rows) for name in (NETWORK, KERNEL)
    }
    predicted[MEAN] = np.mean([predicted[NETWORK], predicted[KERNEL]], axis=0)
    if targets.task == "classification":
        return {name: 1 - area_under_curve(truth[:, 0], values[:, 0]) for name, values in predicted.items()}
    expected = targets.normalized(truth)
    return {
        name: float(np.nanmean(np.abs(targets.normalized(values) - expected)))
        for name, values in predicted.items()
    }
