"""Errors of predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def mean_absolute_error(truth: Values, predicted: Values) -> float:
    """Mean absolute error over the entries whose truth is known (not NaN)."""
    known = np.isfinite(truth)
    return float(np.abs(truth - predicted)[known].mean()) if known.any() else float("nan")


def root_mean_square_error(truth: Values, predicted: Values) -> float:
    """Root of the mean squared error over known entries."""
    known = np.isfinite(truth)
    return float(np.sqrt(np.square(truth - predicted)[known].mean())) if known.any() else float("nan")


def r_squared(truth: Values, predicted: Values) -> float:
    """Fraction of the variance explained, 1 for perfect predictions, 0 for the mean."""
    known = np.isfinite(truth)
    spread = np.square(truth[known] - truth[known].mean()).sum() if known.any() else 0.0
    return float(1 - np.square(truth - predicted)[known].sum() / spread) if spread > 0 else float("nan")


def area_under_curve(truth: Values, probability: Values) -> float:
    """Area under the receiver operating characteristic: the odds that a positive outranks a negative.

    Equals the Mann-Whitney statistic with ties counted half; NaN unless both classes occur.
    """
    known = np.isfinite(truth)
    truth, probability = truth[known], probability[known]
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = truth == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    excess = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(excess / (n_positive * n_negative))


def accuracy(truth: Values, probability: Values) -> float:
    """Fraction of known entries on the right side of one half."""
    known = np.isfinite(truth)
    return float(((probability > 0.5) == (truth == 1))[known].mean()) if known.any() else float("nan")
