"""Errors, scales, losses and learning rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crystallite.config import ModelConfig, TrainConfig
from crystallite.errors import CrystalliteError
from crystallite.metrics import (
    accuracy,
    area_under_curve,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from crystallite.model import CrystalNetwork
from crystallite.optimization import learning_rate, loss_of, make_optimizer, update_average
from crystallite.targets import Targets

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


# ---- learning rate


def rates(config: TrainConfig, steps_per_epoch: int = 7) -> np.ndarray:
    return np.array(
        [learning_rate(config, k, steps_per_epoch) for k in range(config.epochs * steps_per_epoch)]
    )


@given(st.integers(1, 30), st.integers(1, 9), st.floats(0, 1))
def test_one_cycle(epochs: int, steps_per_epoch: int, warmup: float) -> None:
    """Rises, then falls: positive everywhere, largest near the end of the warm-up and never above the setting."""
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


# ---- losses, optimisers, averages


@pytest.mark.parametrize(("loss", "expected"), [("mae", 2.0), ("mse", 5.0), ("huber", 1.5)])
def test_losses_skip_what_is_unknown(loss, expected) -> None:
    outputs = torch.tensor([[1.0, 5.0], [7.0, 3.0]], requires_grad=True)
    truth = torch.tensor([[0.0, NAN], [NAN, 0.0]])
    value = loss_of(outputs, truth, TrainConfig(loss=loss), "regression")
    assert value.item() == pytest.approx(expected)
    value.backward()
    assert torch.equal(outputs.grad != 0, torch.isfinite(truth))


def test_classification_loss_is_the_cross_entropy() -> None:
    outputs = torch.log(torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]]))
    truth = torch.tensor([[1.0], [1.0], [NAN]])
    expected = -(np.log(0.8) + np.log(0.1)) / 2
    assert loss_of(outputs, truth, TrainConfig(), "classification").item() == pytest.approx(expected)


def test_weight_decay_spares_vectors() -> None:
    """With no gradient at all, AdamW shrinks matrices and leaves biases and batch norms alone."""
    network = CrystalNetwork(ModelConfig(atom_width=4, hidden_width=4))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, TrainConfig(optimizer="adamw", weight_decay=0.1, learning_rate=0.1))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        factor = 0.99 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name])


def test_average_of_weights() -> None:
    """The first steps count more, so that the start is forgotten; later the decay rules."""
    average, network = (CrystalNetwork(ModelConfig(atom_width=4, hidden_width=4)) for _ in range(2))
    start, end = average.output.weight.detach().clone(), network.output.weight.detach().clone()
    network.convolutions[0].message_norm.running_mean.fill_(5.0)
    update_average(average, network, decay=0.9, step=0)
    torch.testing.assert_close(average.output.weight.detach(), 0.1 * start + 0.9 * end)
    torch.testing.assert_close(average.convolutions[0].message_norm.running_mean, torch.full((8,), 4.5))
    late = average.output.weight.detach().clone()
    update_average(average, network, decay=0.9, step=10_000)
    torch.testing.assert_close(average.output.weight.detach(), 0.9 * late + 0.1 * end)
