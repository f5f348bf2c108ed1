"""The recipe auto takes a network, a kernel machine or their mean, as the validation set says."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import Said
from training_runs import ENERGY, energies, summary

import crystallite
from crystallite.errors import CrystalliteError
from crystallite.experiments import automatic
from crystallite.experiments.experiment import Ensemble
from crystallite.models.bundle import Bundle, write_bundle
from crystallite.training.train import Run

WORDS = ["--recipe", "auto", "--epochs", "3", "--set", "atom_width=8", "--set", "hidden_width=8"]
SMALL = {"epochs": 3, "atom_width": 8, "hidden_width": 8, "progress": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = energies(200)
    data.write(tmp_path_factory.mktemp("data") / "data.parquet")
    return data


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "data.parquet"
    data.write(path)
    return path


def test_a_network_of_three_epochs_is_worse_than_a_kernel_machine(data, path, tmp_path, capsys) -> None:
    said = Said(capsys, "train", path, *WORDS, "--out", tmp_path / "auto")
    assert said.status == 0, said.err
    assert "taken               kernel; validation errors: network " in said.out
    found = summary(tmp_path / "auto")
    errors = found["validation_errors"]
    assert found["chosen"] == "kernel"
    assert errors["kernel"] < 0.95 * errors["mean"] < errors["network"]
    assert errors["kernel"] == pytest.approx(
        summary(tmp_path / "auto" / "kernel")["validation_error"], rel=1e-5
    )
    model = crystallite.load_model(tmp_path / "auto")
    alone = crystallite.load_model(tmp_path / "auto" / "kernel")
    np.testing.assert_array_equal(model.predict(data), alone.predict(data))
    assert f"{ENERGY}_lower" in crystallite.predict(tmp_path / "auto", data, interval=90)
    again = crystallite.resume(tmp_path / "auto", progress=False)
    assert isinstance(again, Run)
    np.testing.assert_array_equal(again.predict(data), alone.predict(data))


def test_the_mean_of_both(data, path, tmp_path, monkeypatch) -> None:
    """One alone is hardly ever so much better as this threshold asks."""
    monkeypatch.setattr(automatic, "CLEARLY", 0.01)
    both = crystallite.train_automatically(path, ENERGY, out=tmp_path / "both", **SMALL)
    assert isinstance(both, Ensemble)
    assert both.summary["chosen"] == "mean"
    assert [model.config.method for model in both.models] == ["network", "kernel"]
    alone = [crystallite.load_model(tmp_path / "both" / name).predict(data) for name in ("network", "kernel")]
    np.testing.assert_allclose(both.predict(data), np.mean(alone, axis=0), rtol=1e-12)
    frame = crystallite.predict(tmp_path / "both", data, interval=90)
    assert (frame[f"{ENERGY}_std"] > 0).all()
    splits = [(tmp_path / "both" / name / "split.csv").read_text() for name in ("network", "kernel")]
    assert splits[0] == splits[1]
    with pytest.raises(CrystalliteError, match="different shapes"):
        write_bundle(tmp_path / "one.safetensors", Bundle(both.models, both.calibrations))


def test_classes(data, tmp_path) -> None:
    stable = (data.values(ENERGY) < np.median(data.values(ENERGY))).astype(float)
    labelled = data.with_property("stable", stable)
    done = crystallite.train_automatically(
        labelled, "stable", task="classification", out=tmp_path / "classes", **SMALL
    )
    errors = done.summary["validation_errors"]
    assert all(0 <= error <= 1 for error in errors.values())
    assert done.predict(labelled).shape == (200,)


def test_errors_that_are_not_known_choose_nothing(data, tmp_path, monkeypatch) -> None:
    """As of a validation set of one class."""
    unknown = dict.fromkeys(("network", "kernel", "mean"), float("nan"))
    monkeypatch.setattr(automatic, "validation_errors", lambda *_: unknown)
    done = crystallite.train_automatically(data, ENERGY, out=tmp_path / "auto", **SMALL)
    assert done.summary["chosen"] == "mean"
    assert summary(tmp_path / "auto")["validation_errors"] == dict.fromkeys(unknown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "3"], "leave out --folds and --members"),
        (["--split", "80/0/20"], "validation set, which is empty"),
        (["--set", "method=kernel"], "--set method=kernel: settings are"),
    ],
)
def test_what_makes_no_sense_is_refused(words, message, path, tmp_path, capsys) -> None:
    said = Said(capsys, "train", path, *WORDS, *words, "--out", tmp_path / "run")
    assert said.status != 0
    assert message in said.err
    assert not (tmp_path / "run").exists()
