"""Which settings change nothing beside others: one table for training runs and searches."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..errors import CrystalliteError


class Condition(NamedTuple):
    """`setting` has an effect only where `needs` has this `value`, for a reason."""

    setting: str
    needs: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.setting} has an effect only with {self.needs} = {self.value} ({self.reason})"


# What is not listed always has an effect. No setting is needed that itself needs another.
CONDITIONS = (
    Condition("cutoff", "ties", "first", "otherwise the radius grows until every atom has its neighbours"),
    Condition("dropout", "task", "classification", "as in the published code"),
    Condition("loss", "task", "regression", "classes are learned by their cross entropy"),
    Condition("edge_width", "convolution", "edge-updating", "no other convolution has states of edges"),
    Condition("hidden_width", "readout", "pooled", "per-atom contributions are linear"),
    Condition("n_hidden", "readout", "pooled", "per-atom contributions are linear"),
    Condition("momentum", "optimizer", "sgd", "AdamW keeps averages of its own"),
    Condition("warmup", "schedule", "one-cycle", "no other schedule warms up"),
    Condition("milestones", "schedule", "step", "no other schedule has steps"),
)


# What a kernel machine depends on.
OF_KERNELS = frozenset({"seed", "n_neighbors", "cutoff", "tolerance", "ties"})


def without_effect(values: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions that these values of settings do not meet."""
    return [condition for condition in CONDITIONS if values.get(condition.needs) != condition.value]


def warn_of_late(given: Collection[str], values: Mapping[str, Any]) -> None:
    """Warn of given settings that wait for an epoch that never comes."""
    epochs = values["epochs"]
    if "patience" in given and values["patience"] >= epochs:
        warnings.warn(
            f"patience = {values['patience']} has no effect in {epochs} epochs: it cannot run out",
            stacklevel=4,
        )
    late = [str(epoch) for epoch in values["milestones"] if epoch >= epochs]
    if "milestones" in given and late:
        warnings.warn(
            f"milestones after the last epoch have no effect: {', '.join(late)} of {epochs} epochs",
            stacklevel=4,
        )


def refuse_without_effect(given: Collection[str], values: Mapping[str, Any]) -> None:
    """Raise CrystalliteError naming the given settings that change nothing beside the values of all."""
    if values["method"] == "kernel" and (others := sorted(set(given) - OF_KERNELS)):
        raise CrystalliteError(
            f"a kernel machine (the recipe small) has no {', '.join(others)}: leave it out, or take another "
            "recipe"
        )
    idle = [condition for condition in without_effect(values) if condition.setting in given]
    if idle:
        now = ", ".join(f"{name} = {values[name]}" for name in dict.fromkeys(c.needs for c in idle))
        raise CrystalliteError(f"{'; '.join(map(str, idle))}; here {now}, so leave it out")


def with_effect(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that change something beside the values of all."""
    idle = {condition.setting for condition in without_effect(values)}
    return {name: value for name, value in settings.items() if name not in idle}
