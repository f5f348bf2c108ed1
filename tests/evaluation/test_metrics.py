"""Errors of predictions, scales of targets, learning rates; losses and optimisers: test_recipes.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crystallite.errors import CrystalliteError
from crystallite.evaluation.metrics import (
    accuracy,
    area_under_curve,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from crystallite.network.targets import Targets
from crystallite.settings.config import TrainConfig
from crystallite.training.optimization import learning_rate

NAN = float("nan")


# ---- errors


def test_errors_by_hand() -> None:
    truth, predicted = np.array([1.0, 2, NAN, 4]), np.array([2.0, 2, 100, 1])
    assert mean_absolute_error(truth, predicted) == pytest.approx(4 / 3)
    assert root_mean_square_error(truth, predicted) == pytest.approx((10 / 3) ** 0.5)
    assert r_squared(truth, predicted) == pytest.approx(1 - 10 / (14 / 3))


@pytest.mark.parametrize(
    "metric", [mean_absolute_error, root_mean_square_error, r_squared, accuracy, area_under_curve]
)
def test_nothing_known(metric) -> None:
    assert np.isnan(metric(np.array([NAN, NAN]), np.array([0.1, 0.9])))
    assert np.isnan(metric(np.array([]), np.array([])))


def test_r_squared_of_the_mean_and_of_no_spread() -> None:
    truth = np.array([1.0, 2, 6])
    assert r_squared(truth, np.full(3, 3.0)) == pytest.approx(0)
    assert r_squared(truth, truth) == 1
    assert np.isnan(r_squared(np.ones(3), truth))


def test_accuracy() -> None:
    assert accuracy(np.array([1.0, 0, 1, NAN, 0]), np.array([0.9, 0.2, 0.3, 0.9, 0.5])) == pytest.approx(
        3 / 4
    )


LABELS = st.sampled_from([0.0, 1.0, NAN])


@given(st.lists(st.tuples(LABELS, st.integers(0, 6)), min_size=2, max_size=40))
def test_area_under_curve_counts_pairs(rows) -> None:
    truth, probability = np.array(rows, dtype=float).T / [[1], [6]]
    pairs = [(p, q) for p in probability[truth == 1] for q in probability[truth == 0]]
    found = area_under_curve(truth, probability)
    if not pairs:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.mean([(p > q) + 0.5 * (p == q) for p, q in pairs]))


# ---- scales


VALUES = arrays(float, (12, 2), elements=st.floats(-1e3, 1e3))


@given(VALUES)
def test_scale_round_trip(values) -> None:
    values[3, 0] = NAN
    targets = Targets.fit(("a", "b"), ("eV", ""), "regression", values)
    scaled = targets.normalized(values)
    assert scaled.dtype == np.float32
    assert np.isnan(scaled[3, 0])
    # float32 keeps 6e-8 of a scaled value, which is at most sqrt(12)
    np.testing.assert_allclose(targets.from_outputs(scaled), values, rtol=1e-6, atol=1e-6 * max(targets.std))
    if (values[:, 1].std() > 1e-3 * np.abs(values[:, 1]).max()) and values[:, 1].std() > 1e-6:
        assert scaled[:, 1].mean() == pytest.approx(0, abs=1e-4)
        assert scaled[:, 1].std() == pytest.approx(1, rel=1e-4)
    assert Targets.from_dict(targets.to_dict()) == targets


def test_constant_target_keeps_its_value() -> None:
    targets = Targets.fit(("a",), ("",), "regression", np.full((5, 1), 7.0))
    assert targets.std == (1.0,)
    np.testing.assert_array_equal(targets.from_outputs(np.zeros((2, 1))), [[7], [7]])


def test_classes() -> None:
    labels = np.array([[0.0], [1], [1], [NAN]])
    targets = Targets.fit(("metal",), ("",), "classification", labels)
    assert (targets.mean, targets.std, targets.n_outputs) == ((0.0,), (1.0,), 2)
    np.testing.assert_array_equal(targets.normalized(labels), labels.astype(np.float32))
    odds = targets.from_outputs(np.log([[0.25, 0.75]]))
    np.testing.assert_allclose(odds, [[0.75]])


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([[1.0], [NAN]], "regression", "1 values, at least 2"),
        ([[0.0], [2.0]], "classification", "0 and 1 only"),
        ([[0.0, 1], [1.0, 0]], "classification", "one target"),
    ],
)
def test_impossible_targets(values, task, message) -> None:
    names = ("a", "b")[: len(values[0])]
    with pytest.raises(CrystalliteError, match=message):
        Targets.fit(names, ("",) * len(names), task, np.array(values))


def test_logarithmic_target() -> None:
    """Normalised on the logarithm, given back in units; not for values that have none."""
    values = np.array([[1.0], [10.0], [100.0], [NAN]])
    targets = Targets.fit(("bulk",), ("GPa",), "regression", values, ("log10",))
    assert targets.mean == pytest.approx((1.0,))
    assert targets.std == pytest.approx(((2 / 3) ** 0.5,))
    np.testing.assert_allclose(targets.from_outputs(targets.normalized(values)), values, rtol=1e-6)
    with pytest.raises(CrystalliteError, match="log10 needs positive values, 1 are not"):
        Targets.fit(("bulk",), ("GPa",), "regression", np.array([[1.0], [0.0]]), ("log10",))


# ---- learning rate


def rates(config: TrainConfig, steps_per_epoch: int = 7) -> np.ndarray:
    return np.array(
        [learning_rate(config, k, steps_per_epoch) for k in range(config.epochs * steps_per_epoch)]
    )


@given(st.integers(1, 30), st.integers(1, 9), st.floats(0, 0.99) | st.just(1.0))
def test_one_cycle(epochs: int, steps_per_epoch: int, warmup: float) -> None:
    """Rises, then falls: positive, largest at the end of the warm-up and never above the setting."""
    config = TrainConfig(epochs=epochs, warmup=warmup, learning_rate=0.01, schedule="one-cycle")
    found = rates(config, steps_per_epoch)
    assert (found > 0).all()
    assert found.max() <= 0.01 * (1 + 1e-12)
    peak = int(found.argmax())
    assert (np.diff(found[: peak + 1]) >= 0).all()
    assert (np.diff(found[peak:]) <= 0).all()
    assert abs(peak - warmup * (len(found) - 1)) <= 1
    if len(found) > 1 and warmup < 1:
        assert found[-1] == pytest.approx(1e-6)


def test_step_schedule() -> None:
    found = rates(TrainConfig(epochs=6, schedule="step", milestones=(2, 4), learning_rate=0.1), 5)
    np.testing.assert_allclose(found, np.repeat([0.1, 0.01, 0.001], 10))


def test_constant_schedule() -> None:
    assert set(rates(TrainConfig(epochs=3, schedule="constant", learning_rate=0.1))) == {0.1}
