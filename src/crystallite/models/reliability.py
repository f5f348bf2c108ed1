"""How far a model can be trusted: what it got wrong on held-out crystals, and what it was trained on.

From it come intervals with stated coverage (`evaluation.conformal`), the distance of a crystal to the
training data, and the training crystals nearest to it. Held out are the crystals of the validation set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError
from ..evaluation.calibration import UNCHANGED, Calibration, Logistic
from ..evaluation.conformal import SIGNALS, HeldOut, Intervals, prediction_set
from ..network.targets import Targets
from .reference import Reference

Values = NDArray[np.float64]
_REFERENCE = "reference."  # beginning of the names of the reference's arrays


@dataclass(frozen=True)
class Reliability:
    """What a model's intervals and its distances to the training data are made of.

    errors: (held-out crystals, targets) |truth - prediction| on the scale that a target is learned on, NaN
    where the truth is unknown; for classification (held-out crystals, 1), 1 - the probability of the true
    class. spreads: the standard deviations of the members on that scale, of no crystals for a single model.
    distances: (held-out crystals,) to the training data. difficulty: (targets, signals, 2) scale and floor of
    the calibration of each of conformal.SIGNALS, NaN without the signal. logistic: makes probabilities of
    classes agree with the held-out crystals; it changes nothing where the model predicts numbers.
    """

    errors: Values
    spreads: Values
    distances: Values
    difficulty: Values
    reference: Reference
    logistic: Logistic = UNCHANGED

    @cached_property
    def intervals(self) -> list[Intervals]:
        """The intervals of each target."""
        made = []
        for k, constants in enumerate(self.difficulty):
            held_out = HeldOut(self.errors[:, k], self.spreads[:, k], self.distances)
            by_signal = dict(zip(SIGNALS, constants.tolist(), strict=True))
            calibrations = {name: Calibration(*by_signal[name]) for name in held_out.signals}
            made.append(Intervals(held_out, calibrations))
        return made

    @cached_property
    def _sorted_distances(self) -> Values:
        return np.sort(self.distances)

    def bounds(
        self, targets: Targets, level: float, members: Values, distances: Values
    ) -> tuple[Values, Values]:
        """Return the lower and upper bounds of the intervals that hold a fraction `level` of the truths.

        members: (members, crystals, targets) in units. distances: (crystals,). Each bound is (crystals,
        targets) in units; for classification the smallest and largest class of the prediction set.
        """
        mean = self.mean(targets, members)
        if targets.task == "classification":
            lower, upper = prediction_set(mean[:, 0], np.sort(self.errors[:, 0]), level)
            return lower[:, None], upper[:, None]
        bounds = np.empty((2, *mean.shape))
        spreads = spreads_of(targets, members)
        for k, intervals in enumerate(self.intervals):
            width = intervals.half_width(level, spreads[:, k], distances)
            if targets.transforms[k] == "log10":
                bounds[:, :, k] = mean[:, k] * 10.0**-width, mean[:, k] * 10.0**width
            else:
                bounds[:, :, k] = mean[:, k] - width, mean[:, k] + width
        return bounds[0], bounds[1]

    def mean(self, targets: Targets, members: Values) -> Values:
        """Return (crystals, targets): the members' mean, of a class the calibrated probability."""
        mean = members.mean(axis=0)
        return self.logistic.probability(mean) if targets.task == "classification" else mean

    def novelty(self, distances: Values) -> Values:
        """Return (crystals,) the percentage of held-out crystals that are nearer to the training data."""
        nearer = np.searchsorted(self._sorted_distances, distances, side="left")
        return 100.0 * nearer / len(self.distances)

    def of_targets(self, columns: Sequence[int]) -> Self:
        """Return what belongs to some of the targets."""
        columns = list(columns)
        return replace(
            self,
            errors=self.errors[:, columns],
            spreads=self.spreads[:, columns],
            difficulty=self.difficulty[columns],
            reference=self.reference.of_targets(columns),
        )

    def without_training_data(self) -> Self:
        """Return the same without ids and values of the training crystals, of which distances are left."""
        nameless = replace(
            self.reference,
            ids=("",) * len(self.reference.ids),
            values=np.full_like(self.reference.values, np.nan),
        )
        return replace(self, reference=nameless)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file holds."""
        parts: dict[str, NDArray[Any]] = {
            name: getattr(self, name).astype(np.float32) for name in ("errors", "spreads", "distances")
        }
        parts["difficulty"], parts["logistic"] = self.difficulty, np.array(self.logistic)
        return parts | {_REFERENCE + name: part for name, part in self.reference.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_targets: int) -> Self:
        """Return what `to_arrays` wrote; CrystalliteError if it does not fit together."""
        try:
            parts = {name: arrays[name].astype(np.float64) for name in ("errors", "spreads", "distances")}
            difficulty, logistic = arrays["difficulty"], arrays["logistic"]
        except KeyError as error:
            raise CrystalliteError(f"its reliability has no {error}") from error
        if parts["distances"].ndim != 1:
            raise CrystalliteError("its reliability does not fit together")
        n_held_out = len(parts["distances"])
        shapes = [(n_held_out, n_targets), (n_held_out,)]
        if (
            [parts["errors"].shape, parts["distances"].shape] != shapes
            or parts["spreads"].shape not in ((0, n_targets), shapes[0])
            or not np.isfinite(parts["distances"]).all()
            or (logistic.shape, difficulty.shape) != ((2,), (n_targets, len(SIGNALS), 2))
            or not n_held_out
            or any((parts[name] < 0).any() for name in parts)
            or not np.isfinite(logistic).all()
        ):
            raise CrystalliteError("its reliability does not fit together")
        of_reference = {
            name.removeprefix(_REFERENCE): array
            for name, array in arrays.items()
            if name.startswith(_REFERENCE)
        }
        reference = Reference.from_arrays(of_reference, n_targets)
        return cls(**parts, difficulty=difficulty, reference=reference, logistic=Logistic(*logistic.tolist()))


def spreads_of(targets: Targets, members: Values) -> Values:
    """Return (crystals, targets) standard deviations on the targets' scales; of no crystals for one member.

    members: (members, crystals, targets) in units.
    """
    if len(members) < 2:
        return np.empty((0, members.shape[2]))
    scales = [Calibration(1.0, 0.0, transform) for transform in targets.transforms]
    return np.stack([scale.spread(members[:, :, k]) for k, scale in enumerate(scales)], axis=1)
