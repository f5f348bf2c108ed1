"""What a model predicts: named targets, their units and their scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError
from ..settings.config import Settings, Task

Values = NDArray[np.float64]
TRANSFORMS = ("standard", "log10")


@dataclass(frozen=True)
class Targets(Settings):
    """Names, units and normalisation of the predicted properties.

    transforms: `standard` or `log10` for each target. mean, std: of the transformed values of the training
    set alone; the network predicts (transformed - mean) / std. Classification predicts the probability of
    class 1 of a single 0/1 target, with mean 0 and std 1.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    task: Task
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.transforms:
            object.__setattr__(self, "transforms", ("standard",) * len(self.names))
        of_each = (self.units, self.mean, self.std, self.transforms)
        if not self.names or len(set(self.names)) < len(self.names):
            raise CrystalliteError(f"targets must have different names, at least one, not {self.names}")
        if any(len(values) != len(self.names) for values in of_each):
            raise CrystalliteError(f"targets must each have a unit, mean, std and transform: {self.names}")
        if not set(self.transforms) <= set(TRANSFORMS):
            raise CrystalliteError(f"transforms must be some of {', '.join(TRANSFORMS)}")

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        units: Sequence[str],
        task: Task,
        values: Values,
        transforms: Sequence[str] = (),
    ) -> Self:
        """Normalise by the training values (crystals, targets) in units; NaN is a missing value.

        Raises CrystalliteError for a target without two known values, for classes other than 0 and 1, and
        for log10 of values that are not positive.
        """
        unscaled = cls(
            tuple(names), tuple(units), task, (0.0,) * len(names), (1.0,) * len(names), tuple(transforms)
        )
        for column, name in enumerate(names):
            known = values[np.isfinite(values[:, column]), column]
            if len(known) < 2:
                raise CrystalliteError(
                    f"target {name}: the training set has {len(known)} values, at least 2 are needed"
                )
            if task == "classification" and not set(np.unique(known)) <= {0.0, 1.0}:
                raise CrystalliteError(f"target {name}: classification needs values 0 and 1 only")
        if task == "classification":
            if len(names) != 1 or unscaled.transforms != ("standard",):
                raise CrystalliteError("classification takes one target without a transform")
            return unscaled
        transformed = unscaled.transformed(values)
        mean, std = np.nanmean(transformed, axis=0), np.nanstd(transformed, axis=0)
        std = np.where(std > 0, std, 1.0)
        return cls(unscaled.names, unscaled.units, task, mean.tolist(), std.tolist(), unscaled.transforms)

    def of(self, columns: Sequence[int]) -> Self:
        """Return some of the targets."""
        parts = {
            part: tuple(getattr(self, part)[k] for k in columns)
            for part in ("names", "units", "mean", "std", "transforms")
        }
        return replace(self, **parts)  # type: ignore[arg-type]

    @property
    def n_outputs(self) -> int:
        return 2 if self.task == "classification" else len(self.names)

    def transformed(self, values: Values) -> Values:
        """Values in units -> values on the scale of each target's transform."""
        transformed = np.array(values, dtype=np.float64)
        for column, transform in enumerate(self.transforms):
            if transform == "log10":
                if (transformed[:, column] <= 0).any():
                    raise CrystalliteError(
                        f"target {self.names[column]}: log10 needs positive values, "
                        f"{int((transformed[:, column] <= 0).sum())} are not"
                    )
                transformed[:, column] = np.log10(transformed[:, column])
        return transformed

    def normalized(self, values: Values) -> NDArray[np.float32]:
        """Values in units -> the network's scale, (crystals, targets) float32."""
        normalized: NDArray[np.float32] = (
            (self.transformed(values) - self.mean) / np.array(self.std)
        ).astype(np.float32)
        return normalized

    def from_outputs(self, outputs: NDArray[np.floating]) -> Values:
        """Network outputs -> values in units (crystals, targets); for classification P(class 1)."""
        if self.task == "classification":
            probability: Values = np.exp(outputs[:, 1:2].astype(np.float64))
            return probability
        values: Values = outputs.astype(np.float64) * np.array(self.std) + np.array(self.mean)
        for column, transform in enumerate(self.transforms):
            if transform == "log10":
                values[:, column] = 10.0 ** values[:, column]
        return values


def parse_target(text: str) -> tuple[str, str]:
    """Read 'NAME' or 'NAME:log10' as (name, transform)."""
    name, _, transform = text.partition(":")
    transform = transform or "standard"
    if not name or transform not in TRANSFORMS:
        raise CrystalliteError(
            f"a target is NAME or NAME:TRANSFORM with TRANSFORM one of {', '.join(TRANSFORMS)}, not {text!r}"
        )
    return name, transform
