"""Recipes: the published defaults, and what each setting does to a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crystallite.errors import CrystalliteError
from crystallite.settings.config import TrainConfig
from crystallite.settings.recipes import RECIPES, configure, setting_names
from crystallite.training.optimization import MovingAverage, learning_rate, loss_of

STEPS = 10  # of an epoch


def test_paper_has_the_published_defaults():
    graph, model, training = configure("paper", "regression", 1, {})
    assert (graph.n_neighbors, graph.cutoff) == (12, 8.0)
    assert (model.atom_width, model.n_convolutions, model.hidden_width, model.n_hidden) == (64, 3, 128, 1)
    assert (model.gaussian_stop, model.gaussian_step) == (8.0, 0.2)
    assert (training.epochs, training.batch_size, training.learning_rate) == (30, 256, 0.01)
    assert (training.optimizer, training.momentum, training.weight_decay) == ("sgd", 0.9, 0.0)
    assert (training.schedule, training.milestones, training.loss) == ("step", (100,), "mse")
    assert (training.averaging, training.patience) == (0.0, 0)


def test_the_papers_learning_rates_are_those_of_torch():
    config = RECIPES["paper"][1]
    layer = nn.Linear(3, 1)
    theirs = torch.optim.SGD(layer.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(theirs, [100], 0.1)
    for epoch in range(120):
        expected = pytest.approx(theirs.param_groups[0]["lr"])
        assert learning_rate(config, epoch * STEPS, STEPS) == expected, epoch
        assert learning_rate(config, epoch * STEPS + STEPS - 1, STEPS) == expected
        theirs.step()
        schedule.step()


def test_one_cycle_warms_up_and_falls_to_nothing():
    config = TrainConfig(epochs=20, learning_rate=0.01, warmup=0.25)
    rates = np.array([learning_rate(config, step, STEPS) for step in range(20 * STEPS)])
    assert rates.max() == pytest.approx(0.01, rel=1e-3)
    assert abs(rates.argmax() - 0.25 * len(rates)) <= 1
    assert (np.diff(rates[: rates.argmax()]) > 0).all()
    assert (np.diff(rates[rates.argmax() :]) < 0).all()
    assert 0 < rates[-1] < 1e-5
    assert rates[0] == pytest.approx(0.0004)


def test_constant_rate():
    config = TrainConfig(schedule="constant", learning_rate=0.3)
    assert {learning_rate(config, step, STEPS) for step in (0, 7, 900)} == {0.3}


@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
def test_losses_skip_missing_targets(loss):
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(2, 8, 3)) * 2
    targets[rng.random((8, 3)) < 0.4] = np.nan
    error = np.abs(outputs - targets)[np.isfinite(targets)]
    expected = {
        "mae": error.mean(),
        "mse": (error**2).mean(),
        "huber": np.where(error < 1, error**2 / 2, error - 0.5).mean(),
    }[loss]
    config = TrainConfig(loss=loss)
    total, weight = loss_of(torch.tensor(outputs), torch.tensor(targets), config, "regression")
    assert float(weight) == len(error)
    assert float(total / weight) == pytest.approx(expected)


def test_weights_count_crystals_several_times():
    rng = np.random.default_rng(0)
    outputs, targets = torch.tensor(rng.normal(size=(2, 4, 2)))
    targets[1, 0] = float("nan")
    times = torch.tensor([2, 0, 1, 3])
    repeated = (tensor.repeat_interleave(times, dim=0) for tensor in (outputs, targets))
    expected = loss_of(*repeated, TrainConfig(), "regression")
    found = loss_of(outputs, targets, TrainConfig(), "regression", times.double())
    assert [float(x) for x in found] == pytest.approx([float(x) for x in expected])


def test_classification_takes_the_cross_entropy():
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]], dtype=torch.float64)
    targets = torch.tensor([[0.0], [1.0], [float("nan")]], dtype=torch.float64)
    for loss in ("mae", "mse"):
        total, weight = loss_of(probabilities.log(), targets, TrainConfig(loss=loss), "classification")
        assert float(total) == pytest.approx(-np.log(0.9) - np.log(0.7))
        assert float(weight) == 2


def test_averaged_weights_follow_and_counters_stay():
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.99)
    nn.init.constant_(network.weight, 3.0)
    network.num_batches_tracked += 5
    average.update(10**6)
    averaged = average.network.weight.detach()
    torch.testing.assert_close(averaged, torch.full((2,), 1.02))
    average.update(0)  # at first it follows quickly
    torch.testing.assert_close(averaged, torch.full((2,), 1.02 + 0.9 * 1.98))
    assert int(average.network.num_batches_tracked) == 0


def test_settings_override_a_recipe():
    settings = {"epochs": 5, "atom_width": 8, "ties": "first", "milestones": [3, 4], "learning_rate": 1}
    graph, model, training = configure("paper", "regression", 3, settings)
    assert (graph.ties, model.atom_width, model.n_outputs) == ("first", 8, 3)
    assert (training.epochs, training.milestones, training.optimizer) == (5, (3, 4), "sgd")
    assert isinstance(training.learning_rate, float)
    assert configure("modern", "classification", 1, {})[1].n_outputs == 2


def test_every_setting_is_known_by_name():
    assert {"epochs", "ties", "n_convolutions", "averaging", "seed"} <= setting_names()
    assert not {"task", "n_outputs"} & setting_names()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "many"}, "epochs must be a whole number, not 'many'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number"),
        ({"loss": 1}, "loss must be text"),
        ({"loss": "l2"}, "loss must be one of mae, mse, huber"),
        ({"milestones": 5}, "milestones must be a list"),
        ({"learning_rate": 0}, "learning_rate must be positive"),
        ({"averaging": 1.0}, r"averaging must lie in \[0, 1\)"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\)"),
        ({"ties": "none"}, "ties must be one of shared, first, not 'none'"),
        ({"width": 3}, "there is no setting width; settings: .*atom_width"),
        ({"n_outputs": 3}, "there is no setting n_outputs"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(CrystalliteError, match=message):
        configure("modern", "regression", 1, settings)
