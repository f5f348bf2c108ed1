"""Learning curves and parity plots of run folders, also while they train: what the page asks for."""

from __future__ import annotations

import json
import math
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import CrystalliteError
from ..evaluation.results import upgraded
from ..models.checkpoint import read_header
from ..runs.names import BEST, CONFIG, METRICS, PREDICTIONS, SUMMARY
from ..runs.predictions import read_predictions

LARGEST = 64 << 20  # bytes of a file that is read
LONGEST_SILENCE = 120.0  # seconds without an epoch, or ten epochs, before a training run counts as stopped
MOST_POINTS = 5_000  # of a parity plot
_SHOWN = ("epoch", "loss", "learning_rate")
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)


def overview(name: str, folder: Path) -> dict[str, Any]:
    """Return a run's name, state, epochs and targets; what its files do not tell is empty."""
    config = _config(folder)
    return _overview(name, folder, config, _history(folder, config.targets))


def view(name: str, folder: Path) -> dict[str, Any]:
    """Return what `overview` does, the epochs, and true and predicted values of the test set at the end."""
    config = _config(folder)
    entries = _history(folder, config.targets)
    history = [
        {key: entry[key] for key in _SHOWN if key in entry} | {"validation": entry["validation"]}
        for entry in entries
    ]
    targets = _summary(folder)
    units = {target: str(facts.get("unit", "")) for target, facts in targets.items()} or _units(folder)
    about = _overview(name, folder, config, entries)
    return about | {"history": history, "unit": units, "parity": _parity(folder, targets)}


class _Config(NamedTuple):
    """What a run's config.toml says of it."""

    epochs: int = 0
    targets: tuple[str, ...] = ()


def _overview(name: str, folder: Path, config: _Config, history: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "state": _state(folder, history),
        "epoch": history[-1]["epoch"] if history else 0,
        "epochs": config.epochs,
        "targets": list(config.targets),
    }


def _config(folder: Path) -> _Config:
    try:
        values = tomllib.loads(_text(folder / CONFIG))
        targets = tuple(str(target).partition(":")[0] for target in values["data"]["targets"])
        return _Config(int(values["training"]["epochs"]), targets)
    except (OSError, *_DAMAGED):
        return _Config()


def _summary(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of each target at the end."""
    try:
        targets = upgraded(json.loads(_text(folder / SUMMARY)))["targets"]
        return {str(name): dict(facts) for name, facts in targets.items()}
    except (OSError, *_DAMAGED):
        return {}


def _units(folder: Path) -> dict[str, str]:
    """Return the units of the targets, as the best model so far has them."""
    try:
        targets = read_header(folder / BEST)["targets"]
        pairs = zip(targets["names"], targets["units"], strict=True)
        return {str(name): str(unit) for name, unit in pairs}
    except (CrystalliteError, *_DAMAGED):
        return {}


def _history(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the epochs so far, with the validation errors; the last line may still be being written.

    names: of the targets.
    """
    try:
        lines = _text(folder / METRICS).splitlines()
    except (OSError, ValueError):
        return []
    entries = []
    for line in lines:
        with suppress(*_DAMAGED):
            entry = upgraded(json.loads(line), names)
            figures = {key: entry.get(key) for key in ("loss", "learning_rate", "seconds")}
            known = _finite(figures) | {"validation": _validation(entry)}
            entries.append({"epoch": int(entry["epoch"]), **known})
    return entries


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is too large to show")
    return path.read_text(encoding="utf-8")


def _validation(entry: dict[str, Any]) -> dict[str, float]:
    """Return the validation error of each target: MAE in its unit, or 1 - AUC of a class."""
    figures: dict[str, Any] = {}
    for target, errors in entry["targets"].items():
        figures[target] = errors.get("validation_mae")
        if errors.get("validation_auc") is not None:
            figures[target] = 1 - errors["validation_auc"]
    return _finite(figures)


def _finite(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are known."""
    numbers = {key: float(value) for key, value in figures.items() if value is not None}
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def _state(folder: Path, history: list[dict[str, Any]]) -> str:
    if (folder / SUMMARY).exists():
        return "finished"
    newest = 0.0
    for name in (METRICS, CONFIG):
        with suppress(OSError):
            newest = max(newest, (folder / name).stat().st_mtime)
    of_epoch = max((entry.get("seconds", 0.0) for entry in history[-5:]), default=0.0)
    silent = time.time() - newest
    return "training" if silent < max(LONGEST_SILENCE, 10 * of_epoch) else "stopped"


def _parity(folder: Path, targets: dict[str, Any]) -> list[dict[str, Any]]:
    """Return true and predicted values of the test set, of targets that are numbers."""
    try:
        if not targets or (folder / PREDICTIONS).stat().st_size > LARGEST:
            return []
        table = read_predictions(folder / PREDICTIONS)
    except (OSError, *_DAMAGED):
        return []
    if not table.truth.shape[1:] == table.predicted.shape[1:] == (len(targets),):
        return []
    plots = []
    for k, (target, facts) in enumerate(targets.items()):
        if not _finite({"mae": facts.get("test_mae")}):
            continue
        known = np.flatnonzero(np.isfinite(table.truth[:, k]) & np.isfinite(table.predicted[:, k]))
        if len(known) > MOST_POINTS:
            known = np.sort(np.random.default_rng(0).permutation(known)[:MOST_POINTS])
        plots.append(
            {
                "target": target,
                "unit": str(facts.get("unit", "")),
                "test_mae": facts["test_mae"],
                "true": table.truth[known, k].tolist(),
                "predicted": table.predicted[known, k].tolist(),
            }
        )
    return plots
