"""Learning curves and parity plots of run folders, also while they train: what the page asks for."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CrystalliteError
from ..evaluation.results import upgraded
from ..files.writing import read_json
from ..runs.names import CONFIG, METRICS, PREDICTIONS, SUMMARY
from ..runs.predictions import read_predictions

LARGEST = 64 << 20  # bytes of a file that is read
LONGEST_SILENCE = 120.0  # seconds without an epoch, or ten epochs, before a training run counts as stopped
MOST_POINTS = 5_000  # of a parity plot
_SHOWN = ("epoch", "loss", "learning_rate")


def overview(name: str, folder: Path) -> dict[str, Any]:
    """Return a run's name, state, epochs and targets."""
    config = _config(folder)
    targets = _targets(config)
    history = _history(folder, targets)
    return {
        "name": name,
        "state": _state(folder, history),
        "epoch": history[-1]["epoch"] if history else 0,
        "epochs": config.get("training", {}).get("epochs", 0),
        "targets": targets,
    }


def view(name: str, folder: Path) -> dict[str, Any]:
    """Return what `overview` does, the epochs, and true and predicted values of the test set at the end."""
    history = [
        {key: entry[key] for key in _SHOWN if key in entry} | {"validation": _validation(entry)}
        for entry in _history(folder, _targets(_config(folder)))
    ]
    targets = _summary(folder).get("targets", {})
    units = {target: facts.get("unit", "") for target, facts in targets.items()}
    return overview(name, folder) | {"history": history, "unit": units, "parity": _parity(folder, targets)}


def _config(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(folder / CONFIG))
    except (OSError, ValueError):
        return {}


def _targets(config: dict[str, Any]) -> list[str]:
    """Return the names of the targets, without their transforms."""
    return [str(target).partition(":")[0] for target in config.get("data", {}).get("targets", [])]


def _summary(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / SUMMARY)
    except CrystalliteError:
        return {}
    return upgraded(found) if isinstance(found, dict) else {}


def _history(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the epochs so far; the last line may still be being written. names: of the targets."""
    entries = []
    try:
        lines = _text(folder / METRICS).splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("epoch"), int):
            entries.append(upgraded(entry, names))
    return entries


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is too large to show")
    return path.read_text(encoding="utf-8")


def _validation(entry: dict[str, Any]) -> dict[str, float]:
    """Return the validation error of each target: MAE in its unit, or 1 - AUC of a class."""
    found = {}
    for target, errors in entry.get("targets", {}).items():
        if errors.get("validation_mae") is not None:
            found[target] = errors["validation_mae"]
        elif errors.get("validation_auc") is not None:
            found[target] = 1 - errors["validation_auc"]
    return found


def _state(folder: Path, history: list[dict[str, Any]]) -> str:
    if (folder / SUMMARY).exists():
        return "finished"
    files = [folder / name for name in (METRICS, CONFIG) if (folder / name).exists()]
    newest = max((file.stat().st_mtime for file in files), default=0.0)
    of_epoch = max((entry.get("seconds", 0.0) for entry in history[-5:]), default=0.0)
    silent = time.time() - newest
    return "training" if silent < max(LONGEST_SILENCE, 10 * of_epoch) else "stopped"


def _parity(folder: Path, targets: dict[str, Any]) -> list[dict[str, Any]]:
    """Return true and predicted values of the test set, of targets that are numbers."""
    if not targets or not (folder / PREDICTIONS).exists():
        return []
    try:
        table = read_predictions(folder / PREDICTIONS)
    except (OSError, ValueError):
        return []
    if table.truth.shape[1:] != (len(targets),):
        return []
    plots = []
    for k, (target, facts) in enumerate(targets.items()):
        if "test_mae" not in facts:
            continue
        known = np.flatnonzero(np.isfinite(table.truth[:, k]) & np.isfinite(table.predicted[:, k]))
        if len(known) > MOST_POINTS:
            known = np.sort(np.random.default_rng(0).permutation(known)[:MOST_POINTS])
        plots.append(
            {
                "target": target,
                "unit": facts.get("unit", ""),
                "test_mae": facts["test_mae"],
                "true": table.truth[known, k].tolist(),
                "predicted": table.predicted[known, k].tolist(),
            }
        )
    return plots
