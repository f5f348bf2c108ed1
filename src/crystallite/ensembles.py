"""Ensembles: the same training from different seeds; their spread, calibrated, is the uncertainty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import run_folder
from .checkpoint import TrainedModel, load_model
from .config import Task
from .dataset import Dataset
from .errors import CrystalliteError
from .figures import plot_parity, plot_reliability, plot_roc
from .files import read_json, write_json
from .graph_store import dataset_graphs
from .inference import predict_graphs
from .metrics import accuracy, area_under_curve, mean_absolute_error
from .prediction import ENSEMBLE, EnsemblePredictor
from .preparation import prepare, run_dataset
from .results import Result, known_or_none
from .run_folder import BEST, RunConfig
from .run_group import spread, start_all, train_all
from .uncertainty import LEVELS, Calibration, coverage, fit_calibration

Values = NDArray[np.float64]


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
    split = prepare(dataset, config, workers=workers).split
    if config.model.task == "regression" and not len(split.validation):
        raise CrystalliteError("an ensemble is calibrated on validation crystals, and the split has none")
    return n_members


def train_ensemble(folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any) -> Result:
    """Train all members of an ensemble folder, or go on with it, calibrate it and return its summary."""
    config, count = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["members"]
    dataset = run_dataset(config, folder, data)
    configs = member_configs(config, count)
    split, *others = start_all(dataset, configs, folder, **options).values()
    if not all(np.array_equal(*parts) for other in others for parts in zip(split, other, strict=True)):
        raise CrystalliteError(f"{folder}: its members do not share one split; train anew")
    summaries = train_all(dataset, configs, folder, parallel=parallel, **options)
    models = [load_model(folder / name / BEST) for name in configs]
    trainer = prepare(dataset, config, split=split)
    graphs = dataset_graphs(dataset, config.graph)

    def members(rows: NDArray[np.int64]) -> Values:
        return np.stack([predict_graphs(model, graphs, rows) for model in models])

    validation, test = trainer.split.validation, trainer.split.test
    calibrations = calibrate(config.model.task, trainer.values[validation], members(validation))
    predictor = EnsemblePredictor(models, calibrations)
    write_json(folder / ENSEMBLE, {"members": list(configs), "calibration": [list(c) for c in calibrations]})
    tested = members(test)
    mean, deviation = predictor.combined(tested)
    ids = dataset.ids
    run_folder.write_predictions(
        folder / run_folder.PREDICTIONS, [ids[row] for row in test], models[0].targets.names,
        trainer.values[test], mean, deviation,
    )  # fmt: skip
    summary = {
        "members": count,
        "task": config.model.task,
        "targets": _measured(folder, models[0], trainer.values[test], tested, predictor),
        "single_model": spread(list(summaries.values())),
        "n_train": len(trainer.split.train),
        "n_validation": len(validation),
        "n_test": len(test),
    }
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def calibrate(task: Task, truth: Values, members: Values) -> list[Calibration]:
    """Return a calibration for each target from validation data.

    truth: (crystals, targets). members: (members, crystals, targets). Classes show no error of a
    probability, so for classification the deviation stays the members' spread.
    """
    if task == "classification":
        return [Calibration(1.0, 0.0)]
    error, deviation = truth - members.mean(axis=0), members.std(axis=0, ddof=1)
    return [fit_calibration(error[:, k], deviation[:, k]) for k in range(truth.shape[1])]


def _measured(
    folder: Path, model: TrainedModel, truth: Values, members: Values, predictor: EnsemblePredictor
) -> dict[str, Result]:
    """Return the ensemble's test errors and coverage for every target, and draw them."""
    mean, deviation = predictor.combined(members)
    results: dict[str, Result] = {}
    for k, (name, unit) in enumerate(zip(model.targets.names, model.targets.units, strict=True)):
        columns = truth[:, k], mean[:, k], deviation[:, k]
        if model.targets.task == "classification":
            figures = _measured_class(folder, name, *columns)
        else:
            figures = _measured_number(folder, name, unit, *columns, members[:, :, k])
        results[name] = {"unit": unit, "n_known": int(np.isfinite(truth[:, k]).sum()), **figures}
    return results


def _measured_number(
    folder: Path, name: str, unit: str, truth: Values, mean: Values, deviation: Values, members: Values
) -> Result:
    """Return the ensemble's error and coverage for one target, and draw them."""
    error = truth - mean
    if not np.isfinite(error).any():
        return {"test_mae": None}
    raw = coverage(error, members.std(axis=0, ddof=1))
    calibrated = coverage(error, deviation)
    plot_parity(folder / f"parity_{name}.png", truth, mean, name, unit)
    plot_reliability(folder / f"reliability_{name}.png", LEVELS, raw, calibrated)
    return {
        "test_mae": mean_absolute_error(truth, mean),
        "mean_deviation": float(deviation.mean()),
        "coverage_68": float(calibrated[LEVELS == 0.6827][0]),
        "coverage_95": float(calibrated[LEVELS == 0.9545][0]),
        "coverage_68_uncalibrated": float(raw[LEVELS == 0.6827][0]),
        "coverage_95_uncalibrated": float(raw[LEVELS == 0.9545][0]),
    }


def _measured_class(folder: Path, name: str, truth: Values, probability: Values, deviation: Values) -> Result:
    """Return the ensemble's test figures as a classifier, and draw its operating characteristic."""
    if not len(truth):
        return {"test_auc": None, "test_accuracy": None}
    plot_roc(folder / "roc.png", truth, probability, name)
    return {
        "test_auc": known_or_none(area_under_curve(truth, probability)),
        "test_accuracy": accuracy(truth, probability),
        "mean_deviation": float(deviation.mean()),
    }
