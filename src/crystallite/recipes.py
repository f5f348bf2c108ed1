"""Named choices of settings, and how single settings override them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from .config import GraphConfig, ModelConfig, Task, TrainConfig
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


def configure(
    recipe: str, task: Task, n_targets: int, settings: dict[str, Any]
) -> tuple[GraphConfig, ModelConfig, TrainConfig]:
    """Return a recipe's settings with `settings` in place of its own.

    Raises CrystalliteError for an unknown recipe, an unknown name or a value that makes no sense.
    """
    if recipe not in RECIPES:
        raise CrystalliteError(f"there is no recipe {recipe!r}; recipes: {', '.join(RECIPES)}")
    parts = (GraphConfig(), *RECIPES[recipe])
    known = {field.name for part in parts for field in fields(part)} - {"task", "n_outputs"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise CrystalliteError(
            f"there is no setting {', '.join(unknown)}; settings: {', '.join(sorted(known))}"
        )
    shape = {"task": task, "n_outputs": 2 if task == "classification" else n_targets}
    try:
        graph, model, training = (_overridden(part, {**settings, **shape}) for part in parts)
    except TypeError as error:
        raise CrystalliteError(f"a setting has a value of the wrong kind: {error}") from error
    return graph, model, training


def _overridden(part: Any, settings: dict[str, Any]) -> Any:
    names = {field.name for field in fields(part)}
    return replace(part, **{name: value for name, value in settings.items() if name in names})
