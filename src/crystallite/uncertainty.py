"""Uncertainty of an ensemble: calibration on validation data, coverage, reliability."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6827, 0.7, 0.8, 0.9, 0.9545])


class Calibration(NamedTuple):
    """Standard deviation of the error = sqrt((scale x spread of the members)² + floor²); floor in units."""

    scale: float
    floor: float

    def deviation(self, spread: Values) -> Values:
        """Turn the members' spread into the calibrated standard deviation."""
        return np.sqrt((self.scale * spread) ** 2 + self.floor**2)


def fit_calibration(error: Values, spread: Values) -> Calibration:
    """Return the scale and floor under which the errors are likeliest for a normal distribution.

    error, spread: (crystals,) of validation data; entries with an unknown error (NaN) do not count. The
    likelihood is searched on a grid of 5 % steps, finer than any validation set can tell.
    """
    known = np.isfinite(error)
    error, spread = error[known], spread[known]
    size = float(np.sqrt(np.square(error).mean())) if len(error) else 0.0
    if size == 0:
        return Calibration(1.0, 0.0)
    mean_spread = float(np.sqrt(np.square(spread).mean()))
    factors = np.append(0.0, np.geomspace(0.02, 2, 95))
    scales = factors * size / mean_spread if mean_spread > 0 else np.zeros(1)
    best, chosen = np.inf, Calibration(1.0, size)
    for floor in factors[1:] * size:
        variance = np.square(scales[:, None] * spread) + floor**2
        cost = (np.log(variance) + error**2 / variance).mean(axis=1)
        if cost.min() < best:
            best, chosen = cost.min(), Calibration(float(scales[cost.argmin()]), float(floor))
    return chosen


def coverage(error: Values, deviation: Values, levels: Values = LEVELS) -> Values:
    """Return the share of errors inside the central interval of each nominal level."""
    known = np.isfinite(error)
    widths = [NormalDist().inv_cdf((1 + float(level)) / 2) for level in levels]
    return np.array([(np.abs(error[known]) <= width * deviation[known]).mean() for width in widths])
