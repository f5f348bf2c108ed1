"""Prediction intervals with stated coverage: conformal prediction from errors on held-out crystals.

Of n held-out crystals and a new one like them, each is as likely as any other to have the largest error in
proportion to how difficult it seemed. So the interval whose half-width is the ⌈(n + 1) p⌉-th smallest of the
held-out errors / difficulties, times the difficulty of the new crystal, holds the truth with a probability of
at least p (split and normalised conformal prediction: Papadopoulos et al., ECML 2002; Lei et al., J. Am.
Stat. Assoc. 113, 1094, 2018). All of it is on the scale that a target is learned on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibration, fit_calibration

Values = NDArray[np.float64]
SIGNALS = ("spread", "distance")  # what may tell that a crystal is difficult


class HeldOut(NamedTuple):
    """What held-out crystals showed of one target; unknown values (NaN) do not count.

    error: (crystals,) |truth - prediction| on the target's scale; for a class, 1 - the probability of the
    true one. spread: (crystals,) standard deviation of the members, empty for a single model. distance:
    (crystals,) to the training data, empty where that is not known.
    """

    error: Values
    spread: Values
    distance: Values

    @property
    def signals(self) -> tuple[str, ...]:
        """Which signals of a crystal's difficulty there are."""
        return tuple(name for name in SIGNALS if len(getattr(self, name)))


class Intervals:
    """The half-widths of intervals of one target, from held-out crystals.

    calibrations: signal -> how it tells the size of an error; with several the geometric mean counts, with
    none all crystals are alike.
    """

    def __init__(self, held_out: HeldOut, calibrations: Mapping[str, Calibration]) -> None:
        self.calibrations = dict(calibrations)
        held_out = _known(held_out)
        difficulty = self.difficulty(held_out.spread, held_out.distance)
        self.scores = np.sort(held_out.error / difficulty)

    @classmethod
    def fit(cls, held_out: HeldOut, signals: Sequence[str] | None = None) -> Self:
        """Fit what the signals tell, all that there are unless given; 0.1 s each for 4,000 crystals."""
        known = _known(held_out)
        signals = known.signals if signals is None else signals
        return cls(held_out, {name: fit_calibration(known.error, getattr(known, name)) for name in signals})

    def difficulty(self, spread: Values, distance: Values) -> Values:
        """Return (crystals,) sizes of the error to expect, on the target's scale; (), 1 without signals."""
        values = {"spread": spread, "distance": distance}
        factors = [one.deviation(values[name]) for name, one in self.calibrations.items()]
        if not factors:
            return np.ones(())
        return np.asarray(np.exp(np.mean(np.log(np.maximum(factors, 1e-300)), axis=0)))

    def half_width(self, level: float, spread: Values, distance: Values) -> Values:
        """Return (crystals,), without signals (), half-widths of intervals that hold a fraction `level`.

        NaN where there are too few held-out crystals for this level.
        """
        return quantile(self.scores, level) * self.difficulty(spread, distance)


def _known(held_out: HeldOut) -> HeldOut:
    """Return the crystals with a known error."""
    known = np.isfinite(held_out.error)
    return HeldOut(*(column[known] if len(column) else column for column in held_out))


def quantile(scores: Values, level: float) -> float:
    """Return the ⌈(n + 1) level⌉-th smallest of n sorted scores; NaN if there are not so many."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)  # 0.9 x 10 is not exactly 9
    return float(scores[rank - 1]) if 1 <= rank <= len(scores) else math.nan


def prediction_set(probability: Values, scores: Values, level: float) -> tuple[Values, Values]:
    """Return (crystals,) the smallest and the largest of the classes 0 and 1 that are not ruled out.

    A class is ruled out if its probability is smaller than that of the true class was for all but a fraction
    `level` of the held-out crystals, whose scores are 1 - that probability. Where both would be, the likelier
    one stays: the set is never empty. NaN where there are too few held-out crystals.
    """
    largest = quantile(scores, level)
    if math.isnan(largest):
        unknown = np.full(len(probability), math.nan)
        return unknown, unknown
    likelier = (probability >= 0.5).astype(np.float64)
    has_0 = (probability <= largest) | (likelier == 0)
    has_1 = (1 - probability <= largest) | (likelier == 1)
    return np.where(has_0, 0.0, 1.0), np.where(has_1, 1.0, 0.0)
