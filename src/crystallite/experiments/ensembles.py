"""Ensembles: the same training run from different seeds; their spread, calibrated, is the uncertainty."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.calibration import LEAST_VALUES, LEVELS, Calibration, coverage, fit_calibration
from ..evaluation.figures import plot_parity, plot_reliability, plot_roc
from ..evaluation.metrics import accuracy, area_under_curve, mean_absolute_error
from ..evaluation.results import Result, known_or_none
from ..files.writing import file_stems, read_json, write_json
from ..graphs.store import dataset_graphs
from ..materials.splits import Split
from ..models.checkpoint import read_model, save_reliability
from ..models.held_out import measured_reliability
from ..models.inference import predict_graphs
from ..models.loading import ENSEMBLE, RELIABILITY
from ..models.predictor import EnsemblePredictor
from ..network.targets import Targets
from ..runs import folder as run_folder
from ..runs.folder import BEST, RunConfig
from ..runs.predictions import write_predictions
from ..training.preparation import prepare
from ..training.run_data import run_dataset
from .run_group import spread, start_all, train_all

Values = NDArray[np.float64]
# What the summary says of a target's deviations: their mean in units, and their coverage.
DEVIATIONS = (
    *("mean_deviation", "coverage_68", "coverage_95"),
    *("coverage_68_uncalibrated", "coverage_95_uncalibrated"),
)


def member_configs(config: RunConfig, n_members: int) -> dict[str, RunConfig]:
    """Return the settings of each member: one split, different initial weights and order of crystals."""
    seeds = {f"member-{k}": member_seed(config.training.seed, k) for k in range(1, n_members + 1)}
    return {
        name: replace(config, training=replace(config.training, seed=seed)) for name, seed in seeds.items()
    }


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member, counted from 1; another ensemble shares it by 32-bit chance only."""
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def plan_members(dataset: Dataset, config: RunConfig, n_members: int, *, workers: int = 1) -> int:
    """Return the number of members; raises CrystalliteError if they cannot be trained and calibrated."""
    if n_members < 2:
        raise CrystalliteError(f"an ensemble needs at least 2 members, not {n_members}")
    if config.model.method == "kernel":
        raise CrystalliteError("members of the recipe small would be the same: leave --members out")
    trainer = prepare(dataset, config, workers=workers)
    if config.model.task == "regression":
        if not len(trainer.split.validation):
            raise CrystalliteError(
                "an ensemble is calibrated on the validation set, which is empty in this split"
            )
        _warn_of_few(trainer.targets, trainer.values[trainer.split.validation])
    return n_members


def _warn_of_few(targets: Targets, validation: Values) -> None:
    """Warn of targets with too few known values among those of the validation set, (crystals, targets)."""
    for name, n_values in zip(targets.names, np.isfinite(validation).sum(axis=0), strict=True):
        if n_values < LEAST_VALUES:
            outcome = "rough" if n_values else "unknown (NaN)"
            warnings.warn(
                f"{name} is known for {n_values} validation crystals; with fewer than {LEAST_VALUES}, "
                f"{name}_std is {outcome}: choose a larger validation set with --split",
                stacklevel=3,
            )


def train_members(folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any) -> Result:
    """Train all members of an ensemble folder that are missing, calibrate it and return its summary."""
    config, count = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["members"]
    dataset = run_dataset(config, folder, data)
    return calibrated(
        folder,
        dataset,
        config,
        trained(folder, dataset, member_configs(config, count), parallel=parallel, **options),
    )


class Trained(NamedTuple):
    """Members of an ensemble that are trained: their split, and their summaries by folder."""

    split: Split
    summaries: dict[str, Result]


def trained(folder: Path, dataset: Dataset, configs: dict[str, RunConfig], **options: Any) -> Trained:
    """Train the members that are missing in an ensemble folder."""
    split, *others = start_all(dataset, configs, folder, **options).values()
    if not all(np.array_equal(*parts) for other in others for parts in zip(split, other, strict=True)):
        raise CrystalliteError(f"{folder}: its members do not share one split; start a new run")
    return Trained(split, train_all(dataset, configs, folder, **options))


def calibrated(folder: Path, dataset: Dataset, config: RunConfig, done: Trained) -> Result:
    """Calibrate and test trained members, write what an ensemble's folder holds, and return its summary."""
    split, summaries = done
    models = [read_model(folder / name / BEST) for name in summaries]
    trainer = prepare(dataset, config, split=split)
    graphs = dataset_graphs(dataset, config.graph)

    def members(rows: NDArray[np.int64]) -> Values:
        return np.stack([predict_graphs(model, graphs, rows) for model in models])

    validation, test = trainer.split.validation, trainer.split.test
    targets = models[0].targets
    calibrations = calibrate(targets, trainer.values[validation], members(validation))
    by_name = zip(targets.names, calibrations, strict=True)
    constants = {name: calibration.to_dict() for name, calibration in by_name}
    reliability = measured_reliability(
        models, graphs, trainer.values, dataset.ids, trainer.split.train, validation
    )
    if reliability is not None:
        save_reliability(folder / RELIABILITY, reliability)
    write_json(folder / ENSEMBLE, {"members": list(summaries), "calibration": constants})
    tested = members(test)
    mean, deviation = EnsemblePredictor(models, calibrations, reliability).combined(tested)
    ids = dataset.ids
    write_predictions(
        folder / run_folder.PREDICTIONS, [ids[row] for row in test], targets.names,
        trainer.values[test], mean, deviation,
    )  # fmt: skip
    summary = {
        "members": len(models),
        "task": config.model.task,
        "targets": _measured(folder, targets, trainer.values[test], tested, mean, calibrations),
        "single_model": spread(list(summaries.values())),
        "n_train": len(trainer.split.train),
        "n_validation": len(validation),
        "n_test": len(test),
    }
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def calibrate(targets: Targets, truth: Values, members: Values) -> list[Calibration]:
    """Return a calibration for each target from validation data, on the scale that it is learned on.

    truth: (crystals, targets). members: (members, crystals, targets). Classes show no error of a
    probability, so for classification the deviation stays the members' spread.
    """
    if targets.task == "classification":
        return [Calibration(1.0, 0.0)]
    calibrations = []
    for k, transform in enumerate(targets.transforms):
        scale = Calibration(1.0, 0.0, transform)
        error = scale.error(truth[:, k], members[:, :, k].mean(axis=0))
        calibrations.append(fit_calibration(error, scale.spread(members[:, :, k]), transform))
    return calibrations


def _measured(
    folder: Path,
    targets: Targets,
    truth: Values,
    members: Values,
    mean: Values,
    calibrations: list[Calibration],
) -> dict[str, Result]:
    """Return the ensemble's test errors and coverage for every target, and draw them."""
    results: dict[str, Result] = {}
    stems = file_stems(targets.names)
    for k, (name, unit) in enumerate(zip(targets.names, targets.units, strict=True)):
        if targets.task == "classification":
            figures = _measured_class(folder, name, truth[:, k], members[:, :, k], mean[:, k])
        else:
            figures = _measured_number(
                folder, stems[k], name, unit, truth[:, k], members[:, :, k], calibrations[k]
            )
        results[name] = {"unit": unit, "n_known": int(np.isfinite(truth[:, k]).sum()), **figures}
    return results


def _measured_number(
    folder: Path,
    stem: str,
    name: str,
    unit: str,
    truth: Values,
    members: Values,
    calibration: Calibration,
) -> Result:
    """Return the ensemble's error and coverage for one target, and draw them; stem: of the figures' names.

    The coverage is measured on the scale that the target is learned on.
    """
    mean = members.mean(axis=0)
    figures: Result = {
        "test_mae": known_or_none(mean_absolute_error(truth, mean)),
        "calibrated": calibration.calibrated,
        "n_calibration": calibration.n_values,
        **dict.fromkeys(DEVIATIONS),
    }
    if figures["test_mae"] is None:
        return figures
    plot_parity(folder / f"parity_{stem}.png", truth, mean, name, unit)
    if calibration.n_values:
        error, spread = calibration.error(truth, mean), calibration.spread(members)
        deviation = calibration.deviation(spread)
        raw, calibrated = coverage(error, spread), coverage(error, deviation)
        plot_reliability(folder / f"reliability_{stem}.png", LEVELS, raw, calibrated)
        one, two = (int(np.flatnonzero(level == LEVELS)[0]) for level in (0.6827, 0.9545))
        average = calibration.in_units(deviation, mean).mean()
        measured = (average, calibrated[one], calibrated[two], raw[one], raw[two])
        figures.update(zip(DEVIATIONS, map(float, measured), strict=True))
    return figures


def _measured_class(folder: Path, name: str, truth: Values, members: Values, probability: Values) -> Result:
    """Return the ensemble's test figures as a classifier, and draw its operating characteristic."""
    if not len(truth):
        return {"test_auc": None, "test_accuracy": None}
    plot_roc(folder / "roc.png", truth, probability, name)
    return {
        "test_auc": known_or_none(area_under_curve(truth, probability)),
        "test_accuracy": accuracy(truth, probability),
        "mean_deviation": float(members.std(axis=0, ddof=1).mean()),
    }
