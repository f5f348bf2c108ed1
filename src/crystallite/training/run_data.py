"""The data of a run: the dataset, its fingerprint, and the values and weights the network learns from."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..materials.splits import Split
from ..network.targets import Targets, parse_target
from ..runs.folder import DataConfig, RunConfig
from ..sources.resolver import read_dataset, stored

_PIECE = 1 << 16  # ids turned into text at once
FEW = 3  # values below which an error says next to nothing


def run_dataset(config: RunConfig, folder: Path, data: Dataset | None = None) -> Dataset:
    """Return the dataset a run was started on; raises CrystalliteError if it is gone or has changed."""
    if data is None and not config.data.source:
        raise CrystalliteError(f"{folder} was trained on a dataset in memory: pass it as data=")
    dataset = data if data is not None else read_dataset(stored(config.data.source))
    known = {data_fingerprint(dataset, config.data), data_fingerprint(dataset, config.data, ids=False)}
    if config.data.fingerprint not in known:
        raise CrystalliteError(
            f"{folder}: crystals, ids or values of {config.data.source or 'data'} have changed; "
            "start a new run"
        )
    return dataset


def data_fingerprint(dataset: Dataset, data: DataConfig, *, ids: bool = True) -> str:
    """Return SHA-256 (hexadecimal) of what a run reads: crystals, ids, targets, weights, split column.

    ids: False is the fingerprint of version 0.1.0, whose runs keep their split in split.csv all the same.
    """
    digest = hashlib.sha256(dataset.fingerprint.encode())
    if ids:
        _add_list(digest, dataset.ids)
    columns = [parse_target(text)[0] for text in data.targets]
    for name in columns + [data.weight_column] * bool(data.weight_column):
        digest.update(dataset.values(name).tobytes())
    if data.split_column:
        _add_list(digest, dataset.labels(data.split_column))
    return digest.hexdigest()


def _add_list(digest: hashlib._Hash, texts: Sequence[str | None]) -> None:
    """Add the JSON of a list to the digest, a piece at a time."""
    digest.update(b"[")
    for first in range(0, len(texts), _PIECE):
        piece = json.dumps(texts[first : first + _PIECE])[1:-1]
        digest.update(f"{', ' if first else ''}{piece}".encode())
    digest.update(b"]")


def target_values(dataset: Dataset, config: DataConfig) -> NDArray[np.float64]:
    """Return the values (crystals, targets) of all crystals, in units; NaN where unknown."""
    names = [parse_target(text)[0] for text in config.targets]
    return np.column_stack([dataset.values(name) for name in names])


def sample_weights(dataset: Dataset, config: DataConfig) -> NDArray[np.float64] | None:
    """Return the sample weight of every crystal; None if all are the same."""
    return dataset.values(config.weight_column) if config.weight_column else None


def fitted_targets(dataset: Dataset, config: RunConfig, values: NDArray[np.float64], split: Split) -> Targets:
    """Return the targets with the scale of their training values; warns of what nobody can know."""
    names, transforms = zip(*map(parse_target, config.data.targets), strict=True)
    units = [dataset.units.get(name, "") for name in names]
    targets = Targets.fit(names, units, config.model.task, values[split.train], transforms)
    _warn_of_constants(names, values[split.train])
    _warn_of_the_unknown(targets, values, split)
    return targets


def usable_crystals(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Tell which crystals have a value; a sample weight of 0 leaves a crystal out altogether."""
    if weights is not None:
        values = np.where(weights[:, None] == 0, np.nan, values)
    return np.asarray(np.isfinite(values).any(axis=1))


def checked_values(
    dataset: Dataset, config: RunConfig, values: NDArray[np.float64], split: Split
) -> NDArray[np.float64]:
    """Return the values of the crystals in use, others unknown.

    Raises CrystalliteError for one that cannot be a class or has no logarithm, in whatever set it is.
    """
    used = np.full(values.shape, np.nan)
    for rows in split:
        used[rows] = values[rows]
    for column, (name, transform) in enumerate(map(parse_target, config.data.targets)):
        known = np.isfinite(used[:, column])
        if config.model.task == "classification":
            wrong, what = (
                known & ~np.isin(used[:, column], (0, 1)),
                "classification needs values 0 and 1 only",
            )
        elif transform == "log10":
            wrong, what = known & (used[:, column] <= 0), "log10 needs positive values"
        else:
            continue
        if wrong.any():
            row = int(wrong.argmax())
            part = next(part for part, rows in split._asdict().items() if row in rows)
            raise CrystalliteError(
                f"target {name}: {what}, {wrong.sum()} are not, such as {used[row, column]:g} of "
                f"{dataset.ids[row]} ({part} set)"
            )
    return used


def _warn_of_constants(names: Sequence[str], values: NDArray[np.float64]) -> None:
    """Warn of targets of which all training values (crystals, targets) are the same."""
    for name, column in zip(names, values.T, strict=True):
        known = np.unique(column[np.isfinite(column)])
        if len(known) == 1:
            warnings.warn(
                f"target {name}: all training values are {known[0]:g}, so there is nothing to learn",
                stacklevel=3,
            )


def _warn_of_the_unknown(targets: Targets, values: NDArray[np.float64], split: Split) -> None:
    """Warn of what the validation and test sets cannot tell of the values (crystals, targets) in them."""
    for part in ("validation", "test"):
        rows = getattr(split, part)
        for name, column in zip(targets.names, values[rows].T, strict=True):
            known = column[np.isfinite(column)]
            if targets.task == "classification" and len(np.unique(known)) == 1:
                what = f"are all of class {known[0]:g}, so the {part} AUC is unknown"
            elif len(rows) and len(known) < FEW:
                what = f"have a value, so the {part} error is {'a rough guess' if len(known) else 'unknown'}"
            else:
                continue
            warnings.warn(f"target {name}: {len(known)} {part} crystals {what}", stacklevel=3)


def check_sample_weights(
    dataset: Dataset, column: str, weights: NDArray[np.float64] | None, split: Split
) -> None:
    """Raise CrystalliteError unless all crystals in training have a positive weight."""
    if weights is None:
        return
    wrong = split.train[~(weights[split.train] > 0)]
    if len(wrong):
        row = int(wrong.min())
        what = "missing" if np.isnan(weights[row]) else f"{weights[row]:g}"
        raise CrystalliteError(
            f"sample weights {column}: {what} for {dataset.ids[row]}; "
            f"{len(wrong)} of {len(split.train)} training crystals have no positive weight"
        )
