"""The recipe auto takes a network, a kernel machine or their mean, as the validation set says."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import Said
from training_runs import ENERGY, energies, parts_of, summary

import crystallite
from crystallite.errors import CrystalliteError
from crystallite.experiments import automatic, experiment
from crystallite.experiments.experiment import Ensemble
from crystallite.models.bundle import Bundle, write_bundle
from crystallite.models.ready import ready_base
from crystallite.runs.folder import RunConfig
from crystallite.settings.recipes import RECIPES
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


TUNED = {"epochs": 1, "progress": False}  # a network that starts from a ready model has its shape


@pytest.fixture
def base(data, tmp_path, monkeypatch):
    """A run on half of the crystals, as the model that auto starts from; the ids that it was trained on."""
    before = crystallite.train(
        data.select(range(100)), ENERGY, out=tmp_path / "base", epochs=20, atom_width=8, hidden_width=8,
        progress=False,
    )  # fmt: skip
    monkeypatch.setattr(experiment, "ready_base", lambda name: str(before.folder))
    return {name for part in ("train", "validation") for name in parts_of(before.folder)[part]}


def test_from_auto_takes_the_network_that_validates_better(data, base, tmp_path) -> None:
    """After one epoch the network that has been trained before is better than the one anew."""
    with pytest.warns(UserWarning, match="has seen"):
        done = crystallite.train_automatically(
            data, ENERGY, start_from="auto", kernel=False, out=tmp_path / "run", **TUNED
        )
    assert isinstance(done, Run)
    errors = done.summary["validation_errors"]
    assert done.summary["chosen"] == "fine-tuned"
    assert errors["fine-tuned"] < errors["network"]
    assert set(errors) == {"fine-tuned", "network"}
    assert done.summary["start_from"].endswith("base")
    tuned, anew = (parts_of(tmp_path / "run" / name) for name in ("fine-tuned", "network"))
    assert tuned == anew
    assert not base & set(tuned["test"])
    alone = crystallite.load_model(tmp_path / "run" / "fine-tuned")
    np.testing.assert_array_equal(done.predict(data), alone.predict(data))
    anew_config = RunConfig.read(tmp_path / "run" / "network")
    assert anew_config.training.start_from == ""
    assert anew_config.model == RECIPES["modern"][0]  # and not that of the base, which is small
    assert isinstance(crystallite.resume(tmp_path / "run", data=data, progress=False), Run)


def test_a_base_that_is_no_good_is_left(data, base, tmp_path, monkeypatch) -> None:
    """As measured by the validation set alone, here turned around."""
    known = automatic.validation_errors
    monkeypatch.setattr(
        automatic, "validation_errors", lambda *arguments: {n: 1 / e for n, e in known(*arguments).items()}
    )
    with pytest.warns(UserWarning, match="has seen"):
        done = crystallite.train_automatically(
            data, ENERGY, start_from="auto", kernel=False, frozen=["embedding"], out=tmp_path / "run", **TUNED
        )
    assert done.summary["chosen"] == "network"
    assert RunConfig.read(tmp_path / "run" / "network").training.frozen == ()


def test_three_models(data, path, base, tmp_path, monkeypatch, capsys) -> None:
    """The mean is that of the better network and the kernel machine."""
    monkeypatch.setattr(automatic, "CLEARLY", 0.01)
    words = ["--recipe", "auto", "--from", "auto", "--epochs", "1", "--out", tmp_path / "run"]
    said = Said(capsys, "train", path, *words)
    assert said.status == 0, said.err
    assert "taken               mean; validation errors: fine-tuned " in said.out
    assert "fine-tuned from     " in said.out
    found = summary(tmp_path / "run")
    assert found["members"] == 2
    assert set(found["validation_errors"]) == {"fine-tuned", "network", "kernel", "mean"}
    names = ("fine-tuned", "kernel")
    alone = [crystallite.load_model(tmp_path / "run" / name).predict(data) for name in names]
    both = crystallite.load_model(tmp_path / "run").predict(data)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-12)


def test_the_base_is_the_ready_model_of_the_property_or_that_of_the_formation_energy() -> None:
    assert ready_base("bulk_modulus") == "bulk_modulus"
    assert ready_base("formation_energy_per_atom") == "formation_energy"
    assert ready_base("debye_temperature") == "formation_energy"


def test_auto_is_for_what_can_choose(path, tmp_path, capsys) -> None:
    with pytest.raises(CrystalliteError, match="train_automatically"):
        crystallite.train(path, ENERGY, start_from="auto", out=tmp_path / "run", progress=False)
    with pytest.raises(CrystalliteError, match="nothing to choose from"):
        crystallite.train_automatically(path, ENERGY, kernel=False, out=tmp_path / "run", **SMALL)
    said = Said(capsys, "train", path, "--from", "auto", "--members", "3", "--out", tmp_path / "run")
    assert "--from auto trains models of its own: leave out --folds and --members" in said.err
    for words in (["--recipe", "auto"], ["--from", "auto"]):
        said = Said(capsys, "learning-curve", path, *words, "--out", tmp_path / "run")
        assert said.status != 0
    assert not (tmp_path / "run").exists()


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
