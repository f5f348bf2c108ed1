"""Uncertainty of an ensemble: calibration on validation data, coverage, reliability.

All of it is on the scale that a target is learned on: of its logarithm for NAME:log10, else in its units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6827, 0.7, 0.8, 0.9, 0.9545])
ONE_DEVIATION = 0.6827  # fraction of a normal distribution within one standard deviation
LEAST_VALUES = 40  # of validation data: the size of a deviation is then known to 15 % (standard error)
_RATIOS = np.geomspace(0.03, 30, 81)  # of the floor to the typical spread, in steps of 9 %
_PRIOR = math.log(2)  # where few values cannot tell this ratio, it is 1 give or take a factor of two


class Calibration(NamedTuple):
    """Standard deviation of the error = sqrt((scale x spread of the members)² + floor²).

    Error, spread and floor are on the scale of `transform`. n_values: of validation data that it was fitted
    to; fitted to none, scale and floor are NaN: the deviation is unknown.
    """

    scale: float
    floor: float
    transform: str = "standard"
    n_values: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether there were enough values for scale and floor to mean something."""
        return self.n_values >= LEAST_VALUES

    def error(self, truth: Values, mean: Values) -> Values:
        """Return truth - mean on the scale, both given in units."""
        return self._on_scale(truth) - self._on_scale(mean)

    def spread(self, members: Values) -> Values:
        """Return the members' standard deviation on the scale; members: (members, crystals) in units."""
        return np.asarray(self._on_scale(members).std(axis=0, ddof=1))

    def _on_scale(self, values: Values) -> Values:
        return np.log10(values) if self.transform == "log10" else values

    def deviation(self, spread: Values) -> Values:
        """Turn the members' spread into the calibrated standard deviation, both on the scale."""
        return np.sqrt((self.scale * spread) ** 2 + self.floor**2)

    def in_units(self, deviation: Values, mean: Values) -> Values:
        """Turn deviations on the scale into deviations in units of the mean: d(10^x) = 10^x ln 10 dx."""
        return mean * math.log(10) * deviation if self.transform == "log10" else deviation

    def to_dict(self) -> dict[str, Any]:
        """Return what ensemble.json holds."""
        values = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in self._asdict().items()
        }
        return {**values, "calibrated": self.calibrated}

    @classmethod
    def read(cls, written: dict[str, Any] | Sequence[float]) -> Self:
        """Return what `to_dict` wrote, or the pair (scale, floor), in units, of version 0.1.0."""
        if not isinstance(written, dict):
            scale, floor = written
            return cls(float(scale), float(floor))
        scale, floor = (math.nan if written[name] is None else written[name] for name in ("scale", "floor"))
        return cls(float(scale), float(floor), str(written["transform"]), int(written["n_values"]))


def fit_calibration(error: Values, spread: Values, transform: str = "standard") -> Calibration:
    """Return the scale and floor that fit errors of validation data, whatever a few of them are.

    error, spread: (crystals,) on the scale of `transform`; entries with an unknown error (NaN) do not count.
    The ratio of floor to scale is the likeliest for errors with the tails of Cauchy's distribution, in which
    an outlier counts no more than any other value; then both are multiplied so that 68.27 % of the errors
    lie within one deviation.
    """
    known = np.isfinite(error)
    size, spread = np.abs(error[known]), spread[known]
    if not len(size):
        return Calibration(math.nan, math.nan, transform)
    constant = _one_deviation(size)
    typical = float(np.median(spread)) or float(spread.mean())
    if not constant or not typical:  # nothing is wrong, or the members always agree
        return Calibration(0.0 if constant else 1.0, constant, transform, len(size))

    def shape(ratio: float) -> Values:
        return np.sqrt(spread**2 + (ratio * typical) ** 2)

    costs = np.array([_cost(size, shape(ratio)) for ratio in _RATIOS])  # one by one, as crystals may be many
    best = float(_RATIOS[(costs + np.log(_RATIOS) ** 2 / (2 * _PRIOR**2)).argmin()])
    scale = _one_deviation(size / shape(best))
    return Calibration(scale, scale * best * typical, transform, len(size))


def _one_deviation(size: Values) -> float:
    """Return what 68.27 % of new errors are smaller than: the rank p (n + 1) is this fraction on average."""
    return float(np.quantile(size, ONE_DEVIATION, method="weibull"))


def _cost(size: Values, shape: Values) -> float:
    """Return minus the log-likelihood of errors of these sizes, but for a constant.

    size, shape: (crystals,). The errors follow Cauchy's distribution of half-width w x shape; w is the
    likeliest, the fixed point of a mean square in which outliers weigh little.
    """
    square = (size / shape) ** 2
    width = square.mean()  # w²
    for _ in range(30):
        width = (2 * square / (1 + square / width)).mean()
    return float((np.log(width) / 2 + np.log(shape) + np.log1p(square / width)).sum())


def coverage(error: Values, deviation: Values, levels: Values = LEVELS) -> Values:
    """Return the fraction of errors inside the central interval of each nominal level."""
    known = np.isfinite(error)
    widths = [NormalDist().inv_cdf((1 + float(level)) / 2) for level in levels]
    return np.array([(np.abs(error[known]) <= width * deviation[known]).mean() for width in widths])


class Logistic(NamedTuple):
    """Calibrated probability = 1 / (1 + exp(-(slope x logit + shift))), logit of the one given."""

    slope: float = 1.0
    shift: float = 0.0

    def probability(self, probability: Values) -> Values:
        """Return calibrated probabilities of class 1."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * _logit(probability) + self.shift))))


UNCHANGED = Logistic()


def fit_logistic(truth: Values, probability: Values) -> Logistic:
    """Return what makes probabilities of class 1 agree with known classes, (crystals,) 0 and 1.

    The likeliest slope and shift, each class with one more crystal that has it half wrong, so that they stay
    finite where all are told apart (Platt, in: Advances in Large Margin Classifiers, 1999). Without a crystal
    of each class, with fewer than LEAST_VALUES crystals, and where the probabilities are of the wrong class
    more often than not, they stay as they are.
    """
    known = np.isfinite(truth)
    truth, x = truth[known], _logit(probability[known])
    n_ones = truth.sum()
    n_zeros = len(truth) - n_ones
    if not n_ones or not n_zeros or len(truth) < LEAST_VALUES:
        return UNCHANGED
    wanted = np.where(truth == 1, (n_ones + 1) / (n_ones + 2), 1 / (n_zeros + 2))
    features, theta = np.stack([x, np.ones_like(x)], axis=1), np.array([1.0, 0.0])
    for _ in range(50):  # Newton's method on a convex function
        p = 1 / (1 + np.exp(-features @ theta))
        gradient = features.T @ (p - wanted)
        curvature = (features * (p * (1 - p))[:, None]).T @ features + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return Logistic(float(theta[0]), float(theta[1])) if theta[0] > 0 else UNCHANGED


def _logit(probability: Values) -> Values:
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p) - np.log1p(-p))
