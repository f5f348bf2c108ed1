"""What a training needs before its first step: settings, data, split, normalisation, network."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..computing.devices import usable_device
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.writing import file_stem
from ..graphs.store import dataset_graphs
from ..materials.groups import Seen, material_hashes, material_signatures
from ..materials.splits import Split
from ..models.checkpoint import TrainedModel
from ..models.predictor import read_any_model
from ..network.model import CrystalNetwork
from ..network.targets import Targets, parse_target
from ..runs import folder as run_folder
from ..runs.folder import DataConfig, RunConfig
from ..settings.config import GraphConfig, Task
from ..settings.recipes import Configs, configure
from ..sources.resolver import located, read_dataset, stored
from .fine_tuning import freeze, shape_of, start_from
from .run_split import draw_split, split_fingerprint, write_split
from .trainer import Trainer

FEW = 3  # values below which an error says next to nothing


def run_config(
    data: Dataset | str | Path,
    dataset: Dataset,
    target: str | Sequence[str],
    *,
    recipe: str = "modern",
    task: Task = "regression",
    **settings: Any,
) -> RunConfig:
    """Return the settings of a run; `settings` are those of the recipe and fields of DataConfig."""
    declared = (target,) if isinstance(target, str) else tuple(target)
    source = "" if isinstance(data, Dataset) else located(data).name
    of_data = {field.name: settings.pop(field.name) for field in fields(DataConfig) if field.name in settings}
    _refuse_without_effect(of_data)
    of_data.setdefault("split_seed", settings.get("seed", 0))
    if settings.get("start_from"):
        start = settings["start_from"]
        if not isinstance(start, str | Path):
            raise CrystalliteError(f"start_from must be the path of a model, not {start!r}")
        settings["start_from"] = run_folder.absolute_path(start)
    data_config = DataConfig(source, "", declared, task, **DataConfig.checked(of_data))
    data_config = replace(data_config, fingerprint=data_fingerprint(dataset, data_config))
    return RunConfig(data_config, *complete_settings(recipe, task, len(declared), settings))


def complete_settings(recipe: str, task: Task, n_targets: int, settings: dict[str, Any]) -> Configs:
    """Return all settings of graph, network and training: what is not given, of the recipe.

    A model to start from has its shape and graphs in place of the recipe's.
    """
    start = settings.get("start_from")
    return configure(recipe, task, n_targets, settings, shape_of(read_any_model(start)) if start else {})


def _refuse_without_effect(given: dict[str, Any]) -> None:
    """Raise CrystalliteError for settings of the data that change nothing beside each other."""
    if not given.get("split_column"):
        return
    if given.get("split", DataConfig.split) != DataConfig.split:
        raise CrystalliteError(
            "split has no effect beside split_column, which decides: leave one of them out"
        )
    if "split_seed" in given and not given.get("train_limit"):
        raise CrystalliteError("split_seed has no effect beside split_column, which decides: leave it out")


def run_dataset(config: RunConfig, folder: Path, data: Dataset | None = None) -> Dataset:
    """Return the dataset a run was started on; raises CrystalliteError if it is gone or has changed."""
    if data is None and not config.data.source:
        raise CrystalliteError(f"{folder} was trained on a dataset in memory: pass it as data=")
    dataset = data if data is not None else read_dataset(stored(config.data.source))
    known = {data_fingerprint(dataset, config.data), data_fingerprint(dataset, config.data, ids=False)}
    if config.data.fingerprint not in known:
        raise CrystalliteError(
            f"{folder}: crystals, ids or values of {config.data.source or 'data'} have changed; train anew"
        )
    return dataset


def start_folder(
    folder: Path, dataset: Dataset, config: RunConfig, split: Split, device: str = "cpu"
) -> None:
    """Write what a run folder holds before the first step: the split, and the settings, which name it."""
    ids = dataset.ids
    data = replace(config.data, split_fingerprint=split_fingerprint(ids, split))
    write_split(folder, ids, split)
    replace(config, data=data).write(folder, device)


def run_name(dataset: Dataset, config: RunConfig) -> str:
    """Return the stem of a run folder's default name, fit for one: the names in it come from data."""
    return file_stem(f"{dataset.name or 'dataset'}-{parse_target(config.data.targets[0])[0]}")


def data_fingerprint(dataset: Dataset, data: DataConfig, *, ids: bool = True) -> str:
    """Return SHA-256 (hexadecimal) of what a training reads: crystals, ids, targets, weights, split column.

    ids: False is the fingerprint of version 0.1.0, whose runs keep their split in split.csv all the same.
    """
    digest = hashlib.sha256(dataset.fingerprint.encode())
    if ids:
        digest.update(json.dumps(dataset.ids).encode())
    columns = [parse_target(text)[0] for text in data.targets]
    for name in columns + [data.weight_column] * bool(data.weight_column):
        digest.update(dataset.values(name).tobytes())
    if data.split_column:
        digest.update(json.dumps(dataset.labels(data.split_column)).encode())
    return digest.hexdigest()


def prepare(
    dataset: Dataset,
    config: RunConfig,
    *,
    split: Split | None = None,
    given: Split | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = False,
) -> Trainer:
    """Return a trainer before its first step.

    split: of a run that has one, else it is made of `given` parts or drawn from the settings.
    """
    device = usable_device(device)
    names, transforms = zip(*map(parse_target, config.data.targets), strict=True)
    values = np.column_stack([dataset.values(name) for name in names])
    weights = dataset.values(config.data.weight_column) if config.data.weight_column else None
    base = read_any_model(config.training.start_from) if config.training.start_from else None
    graphs = dataset_graphs(dataset, config.graph, workers=workers, progress=progress)
    # One graph setting tells materials apart, so that the split depends on the seed alone.
    usual = config.graph.effective() == GraphConfig()
    same = graphs if usual else dataset_graphs(dataset, GraphConfig(), workers=workers)
    signatures = material_signatures(same)
    if split is None:
        usable = _usable(values, weights)
        split = draw_split(dataset, signatures, usable, config.data, base.seen if base else None, given)
        if base is not None and base.seen is None:
            warnings.warn(
                f"{config.training.start_from} does not say which crystals it was trained on; if test "
                "crystals are among them, the test error is too small",
                stacklevel=2,
            )
    values = _checked_values(dataset, config, values, split)
    units = [dataset.units.get(name, "") for name in names]
    targets = Targets.fit(names, units, config.model.task, values[split.train], transforms)
    _warn_of_constants(names, values[split.train])
    _warn_of_the_unknown(targets, values, split)
    if weights is not None:
        _check_sample_weights(dataset, config.data.weight_column, weights, split)
    hashes = material_hashes(dataset.ids, signatures)
    seen = Seen(hashes[split.train].ravel(), hashes[split.validation].ravel())
    network = _network(config, targets, base, device)
    return Trainer(network, graphs, values, split, targets, config.training, weights, _joined(seen, base))


def _usable(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Tell which crystals have a value; a sample weight of 0 leaves a crystal out altogether."""
    if weights is not None:
        values = np.where(weights[:, None] == 0, np.nan, values)
    return np.asarray(np.isfinite(values).any(axis=1))


def _network(config: RunConfig, targets: Targets, base: TrainedModel | None, device: str) -> CrystalNetwork:
    """Return the network with its first weights: random ones of the seed, or those of the base model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = CrystalNetwork(config.model)
    if base is not None:
        start_from(network, targets, base)
    freeze(network, config.training.frozen)
    return network.to(device)


def _joined(seen: Seen, base: TrainedModel | None) -> Seen | None:
    """Add what the base model has seen; None if it cannot say."""
    if base is None:
        return seen
    if base.seen is None:
        return None
    return Seen(*(np.union1d(ours, theirs) for ours, theirs in zip(seen, base.seen, strict=True)))


def _checked_values(
    dataset: Dataset, config: RunConfig, values: NDArray[np.float64], split: Split
) -> NDArray[np.float64]:
    """Return the values of the crystals in use, others unknown.

    Raises CrystalliteError for one that cannot be a class or has no logarithm, in whatever part it is.
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
                f"{dataset.ids[row]} ({part} part)"
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
    """Warn of what the validation and test parts cannot tell of the values (crystals, targets) in them."""
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


def _check_sample_weights(dataset: Dataset, column: str, weights: NDArray[np.float64], split: Split) -> None:
    """Raise CrystalliteError unless all crystals in training have a positive weight."""
    wrong = split.train[~(weights[split.train] > 0)]
    if len(wrong):
        row = int(wrong.min())
        what = "missing" if np.isnan(weights[row]) else f"{weights[row]:g}"
        raise CrystalliteError(
            f"sample weights {column}: {what} for {dataset.ids[row]}; "
            f"{len(wrong)} of {len(split.train)} training crystals have no positive weight"
        )
