"""What a training needs before its first step: settings, data, split, normalisation, network."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import run_folder
from .config import GraphConfig, Task
from .dataset import Dataset
from .errors import CrystalliteError
from .fine_tuning import freeze, shape_of, start_from
from .graph_store import dataset_graphs
from .graphs import PackedGraphs
from .model import CrystalNetwork
from .prediction import load_any_model
from .recipes import Configs, configure
from .run_folder import DataConfig, RunConfig
from .sources.located import located, stored
from .splits import (
    Split,
    column_split,
    fold_split,
    material_groups,
    parse_parts,
    random_split,
    without_repeats,
)
from .targets import Targets, parse_target
from .trainer import Trainer


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
        settings["start_from"] = run_folder.absolute_path(settings["start_from"])
    data_config = DataConfig(source, "", declared, task, **of_data)
    data_config = replace(data_config, fingerprint=data_fingerprint(dataset, data_config))
    return RunConfig(data_config, *complete_settings(recipe, task, len(declared), settings))


def complete_settings(recipe: str, task: Task, n_targets: int, settings: dict[str, Any]) -> Configs:
    """Return all settings of graph, network and training: what is not given, of the recipe.

    A model to start from has its shape and graphs in place of the recipe's.
    """
    start = settings.get("start_from")
    return configure(recipe, task, n_targets, settings, shape_of(load_any_model(start)) if start else {})


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
    dataset = data if data is not None else Dataset.read(stored(config.data.source))
    if data_fingerprint(dataset, config.data) != config.data.fingerprint:
        raise CrystalliteError(
            f"{folder}: crystals or values of {config.data.source or 'data'} have changed since; train anew"
        )
    return dataset


def start_folder(folder: Path, dataset: Dataset, config: RunConfig, split: Split) -> None:
    """Write what a run folder holds before the first step."""
    run_folder.write_split(folder / run_folder.SPLIT, dataset.ids, split._asdict())
    config.write(folder)


def run_name(dataset: Dataset, config: RunConfig) -> str:
    """Return the stem of a run folder's default name."""
    return f"{dataset.name or 'dataset'}-{parse_target(config.data.targets[0])[0]}"


def data_fingerprint(dataset: Dataset, data: DataConfig) -> str:
    """Return SHA-256 (hexadecimal) of what a training reads: crystals, targets, weights, split column."""
    digest = hashlib.sha256(dataset.fingerprint.encode())
    columns = [parse_target(text)[0] for text in data.targets]
    for name in columns + [data.weight_column] * bool(data.weight_column):
        digest.update(dataset.values(name).tobytes())
    if data.split_column:
        digest.update(json.dumps(dataset.labels(data.split_column)).encode())
    return digest.hexdigest()


def prepare(
    dataset: Dataset, config: RunConfig, *, workers: int = 1, device: str = "cpu", progress: bool = False
) -> Trainer:
    """Return a trainer before its first step."""
    names, transforms = zip(*map(parse_target, config.data.targets), strict=True)
    values = np.column_stack([dataset.values(name) for name in names])
    graphs = dataset_graphs(dataset, config.graph, workers=workers, progress=progress)
    # One graph setting tells materials apart, so that the split depends on the seed alone.
    usual = config.graph.effective() == GraphConfig()
    same = graphs if usual else dataset_graphs(dataset, GraphConfig(), workers=workers)
    split = split_dataset(dataset, same, values, config.data)
    units = [dataset.units.get(name, "") for name in names]
    targets = Targets.fit(names, units, config.model.task, values[split.train], transforms)
    weights = _sample_weights(dataset, config.data.weight_column, split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = CrystalNetwork(config.model)
    if config.training.start_from:
        start_from(network, targets, load_any_model(config.training.start_from))
    freeze(network, config.training.frozen)
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise CrystalliteError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error
    return Trainer(network, graphs, values, split, targets, config.training, weights)


def _sample_weights(dataset: Dataset, column: str, split: Split) -> NDArray[np.float64] | None:
    """Return (crystals,) weights, or None without a column of them; all in training need one."""
    if not column:
        return None
    weights = dataset.values(column)
    used = weights[split.train]
    wrong = split.train[~(used >= 0)]
    if len(wrong):
        row = int(wrong.min())
        what = "missing" if np.isnan(weights[row]) else f"{weights[row]:g}"
        raise CrystalliteError(
            f"sample weights {column}: {what} for {dataset.ids[row]}; "
            f"{len(wrong)} of {len(used)} training crystals have no weight of 0 or more"
        )
    if not used.any():
        raise CrystalliteError(f"sample weights {column}: all training crystals have weight 0")
    return weights


def split_dataset(
    dataset: Dataset, graphs: PackedGraphs, values: NDArray[np.float64], config: DataConfig
) -> Split:
    """Return the run's split of the crystals that have a value."""
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    groups = material_groups(dataset.ids, graphs)
    fold = re.fullmatch(r"fold (\d+) of (\d+)", config.split)
    if config.split_column:
        parts = column_split(dataset.labels(config.split_column))
        declared = Split(*(part[np.isin(part, known)] for part in parts))
        split = without_repeats(declared, groups)
        n_left_out = sum(map(len, declared)) - sum(map(len, split))
        if n_left_out:
            warnings.warn(
                f"{config.split_column}: {n_left_out} training or validation crystals repeat materials of "
                "a part that is held out from them and are not used",
                stacklevel=2,
            )
    else:
        groups = np.unique(groups[known], return_inverse=True)[1]
        if fold:
            parts = fold_split(groups, int(fold[1]), int(fold[2]), config.split_seed)
        else:
            parts = random_split(groups, parse_parts(config.split), config.split_seed)
        split = Split(*(known[part] for part in parts))
    if config.train_limit:
        # A column's rows come in the order of the file, which may mean something.
        order = np.random.default_rng(config.split_seed).permutation(split.train)
        split = split._replace(train=order[: config.train_limit])
    if not len(split.train):
        raise CrystalliteError(f"the split {config.split} of {len(known)} crystals leaves none for training")
    return split
