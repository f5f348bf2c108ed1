"""Intervals hold what they promise, and are those of a library made for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallite.evaluation.calibration import LEAST_VALUES, Logistic, fit_logistic
from crystallite.evaluation.conformal import HeldOut, Intervals, prediction_set, quantile

NOTHING = np.empty(0)


def made_up(n: int, seed: int) -> HeldOut:
    """Errors that grow with the spread of the members and the distance to the training data."""
    rng = np.random.default_rng(seed)
    spread, distance = rng.exponential(size=n), rng.exponential(size=n)
    return HeldOut(np.abs(rng.standard_normal(n)) * np.sqrt(0.1 + spread * distance), spread, distance)


@pytest.mark.parametrize("level", [0.5, 0.68, 0.9, 0.95])
def test_the_library_for_conformal_prediction_has_the_same_intervals(level: float) -> None:
    from crepes import ConformalRegressor

    held_out, new = made_up(400, 0), made_up(100, 1)
    ours = Intervals.fit(held_out)
    theirs = ConformalRegressor().fit(
        held_out.error, sigmas=ours.difficulty(held_out.spread, held_out.distance)
    )
    ends = theirs.predict_int(
        np.zeros(100), sigmas=ours.difficulty(new.spread, new.distance), confidence=level
    )
    np.testing.assert_allclose(ours.half_width(level, new.spread, new.distance), ends[:, 1], rtol=1e-12)


@pytest.mark.parametrize("signals", [(), ("spread",), ("distance",), ("spread", "distance")])
def test_coverage_over_many_splits_is_what_is_promised(signals: tuple[str, ...]) -> None:
    levels, shares = (0.5, 0.9), []
    for seed in range(60):
        intervals, new = Intervals.fit(made_up(99, seed), signals), made_up(300, 1000 + seed)
        widths = [intervals.half_width(level, new.spread, new.distance) for level in levels]
        shares.append([(new.error <= width).mean() for width in widths])
    # 99 held-out crystals cover p on average; one split deviates by sqrt(p (1 - p) / 100) and some more for
    # its 300 new crystals, the mean of 60 by less than 0.01 at both levels (two standard errors: 0.015).
    assert np.mean(shares, axis=0) == pytest.approx(levels, abs=0.015)


def test_signals_make_intervals_narrower() -> None:
    held_out, new = made_up(2000, 3), made_up(2000, 4)
    widths = {
        signals: np.mean(Intervals.fit(held_out, signals).half_width(0.9, new.spread, new.distance))
        for signals in [(), ("spread",), ("spread", "distance")]
    }
    assert widths["spread", "distance"] < widths[("spread",)] < widths[()]


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_the_quantile_is_the_rank_of_a_new_crystal(n: int, level: float) -> None:
    scores = np.arange(1.0, n + 1)
    found = quantile(scores, level)
    if math.isnan(found):
        assert (n + 1) * level > n
    else:
        # The new one is among the `found` smallest of n + 1 scores with probability found / (n + 1).
        assert found / (n + 1) >= level - 1e-9
        assert (found - 1) / (n + 1) < level


def test_too_few_crystals_have_no_interval() -> None:
    few = made_up(8, 0)
    assert np.isnan(Intervals.fit(few).half_width(0.95, few.spread, few.distance)).all()
    assert np.isfinite(Intervals.fit(few).half_width(0.5, few.spread, few.distance)).all()
    none = HeldOut(np.full(3, np.nan), NOTHING, np.ones(3))
    assert np.isnan(Intervals.fit(none).half_width(0.5, NOTHING, np.ones(2))).all()


def test_errors_of_nothing_have_no_width() -> None:
    exact = HeldOut(np.zeros(50), NOTHING, np.linspace(0, 1, 50))
    assert (Intervals.fit(exact).half_width(0.9, NOTHING, np.ones(2)) == 0).all()


def test_sets_of_classes_hold_the_true_one_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        probability = rng.beta(0.5, 0.5, 399)
        truth = (rng.random(399) < probability).astype(float)
        scores = np.sort(np.abs(truth - probability)[:99])
        lower, upper = prediction_set(probability[99:], scores, 0.9)
        assert (lower <= upper).all()
        shares.append(((truth[99:] >= lower) & (truth[99:] <= upper)).mean())
    assert np.mean(shares) >= 0.9 - 0.015
    assert np.isnan(prediction_set(np.array([0.3]), np.array([0.1]), 0.9)).all()


def test_probabilities_become_frequencies() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000)
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))).astype(float)
    found = fit_logistic(truth, 1 / (1 + np.exp(-logit)))
    # Standard errors of slope and shift from 20,000 classes are 0.018 and 0.016.
    assert found.slope == pytest.approx(0.5, abs=0.06)
    assert found.shift == pytest.approx(-1, abs=0.06)


def test_probabilities_stay_where_classes_cannot_tell() -> None:
    many = np.linspace(0.1, 0.9, 2 * LEAST_VALUES)
    assert fit_logistic(np.ones(len(many)), many) == Logistic()
    assert fit_logistic(np.array([0.0, 1.0]), np.array([0.2, 0.9])) == Logistic()
    told_apart = fit_logistic((many > 0.5).astype(float), many)
    assert np.isfinite(told_apart).all()
    np.testing.assert_allclose(Logistic().probability(many), many, rtol=1e-12)
