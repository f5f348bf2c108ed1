"""What a model predicts: named targets, their units and their scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .config import Task
from .errors import CrystalliteError


@dataclass(frozen=True)
class Targets:
    """Names, units and normalisation of the predicted properties.

    mean, std: one number a target, of the training part alone; the network predicts (value - mean) / std.
    Classification predicts the probability of class 1 of a single 0/1 target, with mean 0 and std 1.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    task: Task
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls, names: tuple[str, ...], units: tuple[str, ...], task: Task, values: NDArray[np.float64]
    ) -> Self:
        """Normalise by the training values (crystals, targets); NaN is a missing value."""
        for column, name in enumerate(names):
            known = values[np.isfinite(values[:, column]), column]
            if len(known) < 2:
                raise CrystalliteError(
                    f"target {name}: the training part has {len(known)} values, at least 2 needed"
                )
            if task == "classification" and not set(np.unique(known)) <= {0.0, 1.0}:
                raise CrystalliteError(f"target {name}: classification needs values 0 and 1 only")
        if task == "classification":
            if len(names) != 1:
                raise CrystalliteError("classification takes one target")
            return cls(names, units, task, (0.0,), (1.0,))
        mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        std = np.where(std > 0, std, 1.0)
        return cls(names, units, task, tuple(map(float, mean)), tuple(map(float, std)))

    @property
    def n_outputs(self) -> int:
        return 2 if self.task == "classification" else len(self.names)

    def normalized(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values in units -> the network's scale, (crystals, targets) float32."""
        normalized: NDArray[np.float32] = ((values - self.mean) / np.array(self.std)).astype(np.float32)
        return normalized

    def from_outputs(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Network outputs -> values in units (crystals, targets); for classification P(class 1)."""
        if self.task == "classification":
            probability: NDArray[np.float64] = np.exp(outputs[:, 1:2].astype(np.float64))
            return probability
        values: NDArray[np.float64] = outputs.astype(np.float64) * np.array(self.std) + np.array(self.mean)
        return values

    def to_dict(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "units": list(self.units),
            "task": self.task,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(
            tuple(values["names"]),
            tuple(values["units"]),
            values["task"],
            tuple(map(float, values["mean"])),
            tuple(map(float, values["std"])),
        )
