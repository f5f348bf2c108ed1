"""Cross-validation: every crystal is tested once, by a model that saw none of its material."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.figures import plot_parity, plot_roc
from ..evaluation.metrics import mean_absolute_error
from ..evaluation.results import Result
from ..files.writing import file_stems, read_json, write_json
from ..runs import folder as run_folder
from ..runs.folder import DataConfig, RunConfig
from ..runs.predictions import PredictionTable, read_predictions, write_predictions
from ..training.preparation import prepare
from ..training.run_data import run_dataset
from .run_group import spread, start_all, train_all


def fold_configs(config: RunConfig, n_folds: int) -> dict[str, RunConfig]:
    """Return the settings of each fold: the next fold validates, the others train."""
    folds = range(1, n_folds + 1)
    splits = {f"fold-{k}": replace(config.data, split=f"fold {k} of {n_folds}") for k in folds}
    return {name: replace(config, data=data) for name, data in splits.items()}


def plan_folds(dataset: Dataset, config: RunConfig, n_folds: int, *, workers: int = 1) -> int:
    """Return the number of folds; raises CrystalliteError if they cannot be trained."""
    if config.data.split_column or config.data.split != DataConfig.split:
        raise CrystalliteError("folds are the split: leave out --split and --split-column")
    prepare(dataset, fold_configs(config, n_folds)["fold-1"], workers=workers)
    return n_folds


def train_folds(folder: Path, *, data: Dataset | None = None, parallel: int = 1, **options: Any) -> Result:
    """Train all folds of a cross-validation folder that are missing, and return its summary.

    Every crystal with a known target is tested exactly once, by a model that saw none of its material.
    """
    config, count = RunConfig.read(folder), read_json(folder / run_folder.GROUP)["folds"]
    dataset = run_dataset(config, folder, data)
    configs = fold_configs(config, count)
    splits = start_all(dataset, configs, folder, parallel=parallel, **options)
    tested = np.concatenate([split.test for split in splits.values()])
    if len(np.unique(tested)) < len(tested):
        raise CrystalliteError(
            f"{folder}: its folds, begun with version 0.1.0, test crystals twice; start a new run"
        )
    summaries = train_all(dataset, configs, folder, parallel=parallel, **options)
    tables = [read_predictions(folder / name / run_folder.PREDICTIONS) for name in summaries]
    summary = {"folds": count, **_tested(folder, list(summaries.values()), tables)}
    write_json(folder / run_folder.SUMMARY, summary)
    return summary


def _tested(folder: Path, summaries: list[Result], tables: list[PredictionTable]) -> Result:
    """Write the table of all crystals, draw it, and return the mean errors beside those of all at once."""
    test_share = float(np.mean([summary["n_test"] / summary["n_train"] for summary in summaries]))
    found, task = spread(summaries, test_share), summaries[0]["task"]
    ids = [material_id for table in tables for material_id in table.ids]
    truth, predicted = (np.concatenate([table[k] for table in tables]) for k in (1, 2))
    write_predictions(folder / run_folder.PREDICTIONS, ids, list(found["targets"]), truth, predicted)
    stems = file_stems(list(found["targets"]))
    for k, (name, figures) in enumerate(found["targets"].items()):
        figures["n_known"] = int(np.isfinite(truth[:, k]).sum())
        if task == "regression":
            figures["pooled_test_mae"] = mean_absolute_error(truth[:, k], predicted[:, k])
            plot_parity(
                folder / f"parity_{stems[k]}.png", truth[:, k], predicted[:, k], name, figures["unit"]
            )
        else:
            plot_roc(folder / "roc.png", truth[:, k], predicted[:, k], name)
    return {"task": task, **found, "n_test": len(ids)}
