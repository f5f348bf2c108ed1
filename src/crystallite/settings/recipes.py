"""Named choices of settings, and how single settings override them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ..errors import CrystalliteError
from .config import GraphConfig, ModelConfig, Task, TrainConfig
from .effects import refuse_without_effect, warn_of_late

N_DESCRIPTORS = 108  # of features.descriptors, which lies above the settings
# `paper`: the defaults of the published code. `modern`: chosen by measurement on
# validation data, see docs/training.md. `small`: a kernel machine on descriptors, for some hundred crystals.
RECIPES: dict[str, tuple[ModelConfig, TrainConfig]] = {
    "modern": (ModelConfig(angles="orders"), TrainConfig()),
    "paper": (
        ModelConfig(convolution="gated", n_convolutions=3),
        TrainConfig(
            epochs=30,
            batch_size=256,
            optimizer="sgd",
            learning_rate=0.01,
            weight_decay=0.0,
            schedule="step",
            milestones=(100,),
            loss="mse",
            averaging=0.0,
        ),
    ),
    "small": (ModelConfig(method="kernel", atom_width=N_DESCRIPTORS), TrainConfig(epochs=1)),
}

Configs = tuple[GraphConfig, ModelConfig, TrainConfig]


def setting_names() -> set[str]:
    """Return the names of the settings that `configure` accepts."""
    parts = (GraphConfig, ModelConfig, TrainConfig)
    return {field.name for part in parts for field in fields(part)} - {"task", "n_outputs", "method"}


def configure(
    recipe: str,
    task: Task,
    n_targets: int,
    settings: dict[str, Any],
    inherited: dict[str, Any] | None = None,
) -> Configs:
    """Return a recipe's settings with `settings` in place of its own.

    inherited: what another model has in place of the recipe's. Raises CrystalliteError for an unknown recipe,
    an unknown name, and a value in `settings` that makes no sense or no difference.
    """
    configs = _combined(recipe, task, n_targets, {**(inherited or {}), **settings})
    values = setting_values(configs)
    refuse_without_effect(settings, values)
    warn_of_late(settings, values)
    return configs


def setting_values(configs: Configs) -> dict[str, Any]:
    """Return the values of all settings by name."""
    return {name: value for part in configs for name, value in part.to_dict().items()}


def check_setting(name: str, value: Any) -> None:
    """Raise CrystalliteError unless the setting exists and takes this value."""
    _combined("modern", "regression", 1, {name: value})


def _combined(recipe: str, task: Task, n_targets: int, settings: dict[str, Any]) -> Configs:
    if recipe not in RECIPES:
        raise CrystalliteError(f"there is no recipe {recipe!r}; recipes: {', '.join(RECIPES)}")
    parts = (GraphConfig(), *RECIPES[recipe])
    unknown = sorted(set(settings) - setting_names())
    if unknown:
        raise CrystalliteError(
            f"there is no setting {', '.join(unknown)}; settings: {', '.join(sorted(setting_names()))}"
        )
    shape = {"task": task, "n_outputs": 2 if task == "classification" else n_targets}
    graph, model, training = (_overridden(part, {**settings, **shape}) for part in parts)
    return graph, model, training


def _overridden(part: Any, settings: dict[str, Any]) -> Any:
    names = {field.name for field in fields(part)}
    return replace(part, **part.checked({name: settings[name] for name in names & settings.keys()}))
