"""The settings of a run: those of the recipe, what is given over them, and the name of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..datasets.builtin import PREFIX
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.writing import file_stem
from ..models.loading import read_any_model
from ..models.ready import ready_name
from ..network.targets import parse_target
from ..runs import folder as run_folder
from ..runs.folder import DataConfig, RunConfig
from ..settings.config import Task
from ..settings.recipes import Configs, configure, setting_names
from ..sources.resolver import located
from .fine_tuning import shape_of
from .run_data import data_fingerprint

AUTO = (
    "auto"  # as a model to start from: the ready one that fits the target, if it validates better than none
)


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
        if start == AUTO:
            raise CrystalliteError(
                "start_from = auto trains a network from a ready model and one anew: `crystallite train` and "
                "train_automatically do so, others take the name of a model"
            )
        name = ready_name(start)
        settings["start_from"] = f"{PREFIX}{name}" if name else run_folder.absolute_path(start)
    data_config = DataConfig(source, "", declared, task, **DataConfig.checked(of_data))
    data_config = replace(data_config, fingerprint=data_fingerprint(dataset, data_config))
    return RunConfig(data_config, *complete_settings(recipe, task, len(declared), settings))


def complete_settings(
    recipe: str,
    task: Task,
    n_targets: int,
    settings: dict[str, Any],
    recipe_then: dict[str, Any] | None = None,
) -> Configs:
    """Return all settings of graph, network and training: what is not given, of the recipe.

    A model to start from has its shape and graphs in place of the recipe's. recipe_then: values of all
    settings in place of those that the recipe has now.
    """
    start = settings.get("start_from")
    if start and recipe == "small":
        raise CrystalliteError("what the recipe small trains is no network: nothing can be trained further")
    known = setting_names()
    inherited = {name: value for name, value in (recipe_then or {}).items() if name in known}
    if start:
        inherited |= shape_of(read_any_model(start))
    return configure(recipe, task, n_targets, settings, inherited)


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


def run_name(dataset: Dataset, config: RunConfig) -> str:
    """Return the stem of a run folder's default name, fit for one: the names in it come from data."""
    return file_stem(f"{dataset.name or 'dataset'}-{parse_target(config.data.targets[0])[0]}")
