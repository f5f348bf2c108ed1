"""Named choices of settings, and how single settings override them."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import Any

from .config import GraphConfig, ModelConfig, Task, TrainConfig
from .effects import refuse_without_effect
from .errors import CrystalliteError

# `paper`: the defaults of the published code. `modern`: chosen by measurement on
# validation data, see docs/training.md.
RECIPES: dict[str, tuple[ModelConfig, TrainConfig]] = {
    "modern": (ModelConfig(), TrainConfig()),
    "paper": (
        ModelConfig(),
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
}

# Kind of a setting -> what is accepted for it (NumPy's numbers too), and its name.
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    tuple: ((tuple, list), "a list"),
}

Configs = tuple[GraphConfig, ModelConfig, TrainConfig]


def setting_names() -> set[str]:
    """Return the names of the settings that `configure` accepts."""
    parts = (GraphConfig, ModelConfig, TrainConfig)
    return {field.name for part in parts for field in fields(part)} - {"task", "n_outputs"}


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
    refuse_without_effect(settings, setting_values(configs))
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
    chosen = {
        field.name: _checked(field.name, settings[field.name], getattr(part, field.name))
        for field in fields(part)
        if field.name in settings
    }
    return replace(part, **chosen)


def _checked(name: str, value: Any, default: Any) -> Any:
    """Return `value` as the default's kind of value; a whole number will do for a real one."""
    kind = type(default)
    accepted, words = _KINDS[kind]
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise CrystalliteError(f"{name} must be {words}, not {value!r}")
    converted = kind(value)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise CrystalliteError(f"{name} must be a finite number, not {value}")
    return converted
