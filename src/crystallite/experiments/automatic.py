"""What validates best is taken: a network, fine-tuned or not, a kernel machine, or the mean of both kinds.

The recipe auto trains a kernel machine beside the network; starting from auto, a network is fine-tuned and
another one is trained anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.metrics import area_under_curve, mean_absolute_error
from ..evaluation.results import Result, known_or_none
from ..files.writing import read_json, write_json
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

TUNED, NETWORK, KERNEL, MEAN = "fine-tuned", "network", "kernel", "mean"
CLEARLY = 0.95  # one alone is taken where its validation error is below this share of that of the mean


def automatic_configs(config: RunConfig, names: Sequence[str]) -> dict[str, RunConfig]:
    """Return the settings of each of the models `names`, on the same split and graphs.

    A network that starts from a model comes first: its split leaves out what that model knows. Beside it the
    network that is trained anew has the shape of the recipe modern, whatever that of the model is.
    """
    task, n_outputs = config.model.task, config.model.n_outputs
    modern, (small, of_small) = RECIPES["modern"][0], RECIPES["small"]
    anew = replace(
        config,
        model=replace(modern, task=task, n_outputs=n_outputs, dropout=config.model.dropout),
        training=replace(config.training, start_from="", frozen=()),
    )
    kernel = replace(
        config,
        model=replace(small, task=task, n_outputs=n_outputs),
        training=replace(of_small, seed=config.training.seed),
    )
    configs = {TUNED: config, NETWORK: anew if TUNED in names else config, KERNEL: kernel}
    return {name: configs[name] for name in configs if name in names}


def plan_automatic(
    dataset: Dataset, config: RunConfig, names: Sequence[str], *, workers: int = 1
) -> list[str]:
    """Return the names of the models; raises CrystalliteError if they cannot be trained or compared."""
    if config.model.method == "kernel":
        raise CrystalliteError(
            "the recipe auto trains a network and a kernel machine: leave the recipe small out"
        )
    split = None
    for member in automatic_configs(config, names).values():
        split = prepare(dataset, member, split=split, workers=workers).split
    if split is None or not len(split.validation):
        raise CrystalliteError("auto chooses by the validation set, which is empty in this split")
    return list(names)


def train_automatic(
    folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any
) -> Result:
    """Train what is missing of the models in the folder, choose, and return the summary.

    `validation_errors` in it are those of all, and of the mean of network and kernel machine; `chosen` says
    which is taken. The model of the folder is that one.
    """
    config, names = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["auto"]
    dataset = run_dataset(config, folder, data)
    configs = automatic_configs(config, names)
    done = trained(folder, dataset, configs, parallel=parallel, **options)
    errors = validation_errors(folder, dataset, config, done)
    chosen = choice(errors)
    if chosen == MEAN:
        both = {name: done.summaries[name] for name in (best_network(errors), KERNEL)}
        summary = calibrated(folder, dataset, config, done._replace(summaries=both))
    else:
        write_json(folder / ENSEMBLE, {"members": [chosen], "calibration": ALONE})
        summary = dict(done.summaries[chosen])
    known = {name: known_or_none(error) for name, error in errors.items()}
    summary |= {"chosen": chosen, "validation_errors": known}
    if config.training.start_from:
        summary["start_from"] = config.training.start_from
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def best_network(errors: dict[str, float]) -> str:
    """Return which network validates best; the fine-tuned one where an error is not known (NaN)."""
    return min((name for name in (TUNED, NETWORK) if name in errors), key=lambda name: errors[name])


def choice(errors: dict[str, float]) -> str:
    """Return what is taken: the best network or, beside a kernel machine, one of both or their mean.

    The mean is taken unless one alone is clearly better, and where an error is not known (NaN).
    """
    network = best_network(errors)
    if KERNEL not in errors:
        return network
    best = min((network, KERNEL), key=lambda name: errors[name])
    return best if errors[best] < CLEARLY * errors[MEAN] else MEAN


def validation_errors(folder: Path, dataset: Dataset, config: RunConfig, done: Trained) -> dict[str, float]:
    """Return the errors of the models on the validation set, and of the mean of network and kernel machine.

    Mean absolute errors of the targets in units of their spread over the training set, or 1 - AUC; NaN where
    nobody can tell.
    """
    found = {name: summary["validation_error"] for name, summary in done.summaries.items()}
    errors = {name: np.nan if error is None else float(error) for name, error in found.items()}
    if KERNEL not in errors:
        return errors
    trainer = prepare(dataset, config, split=done.split)
    rows, targets = done.split.validation, trainer.targets
    graphs, truth = dataset_graphs(dataset, config.graph), trainer.values[rows]
    models = [read_model(folder / name / BEST) for name in (best_network(errors), KERNEL)]
    mean = np.mean([predict_graphs(model, graphs, rows) for model in models], axis=0)
    if targets.task == "classification":
        return errors | {MEAN: 1 - area_under_curve(truth[:, 0], mean[:, 0])}
    expected, predicted = (targets.normalized(values).astype(np.float64) for values in (truth, mean))
    return errors | {MEAN: mean_absolute_error(expected, predicted)}
