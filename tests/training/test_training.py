"""Training: that it learns, what a run leaves behind, when it stops and what it refuses."""

from __future__ import annotations

import tomllib

import matplotlib.image
import numpy as np
import pytest
from training_runs import (
    ENERGY,
    energies,
    metrics,
    of_target,
    one_thread,  # noqa: F401
    parts_of,
    strict_json,
    summary,
    table,
    train,
)

import crystallite
from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run on 300 crystals, long enough to learn something."""
    return train(energies(), tmp_path_factory.mktemp("runs") / "energy", epochs=10)


def test_it_learns_with_orders(tmp_path):
    """The setting is part of the file, and the file predicts what the run did."""
    run = train(energies(), tmp_path / "orders", epochs=4, angles="orders")
    losses = [epoch["loss"] for epoch in metrics(run.folder)]
    assert losses[-1] < losses[0]
    loaded = read_model(run.folder / "best.safetensors")
    assert loaded.config.angles == "orders"
    loaded.weights["order_output.weight"] *= 0
    dataset = energies()
    predicted = run.predict(dataset)
    reloaded = crystallite.load_model(run.folder).predict(dataset)
    np.testing.assert_array_equal(reloaded, predicted)
    assert np.abs(crystallite.models.predictor.Predictor(loaded).predict(dataset) - predicted).max() > 1e-4


# ---- the run folder


def test_it_learns(run):
    losses = [epoch["loss"] for epoch in metrics(run.folder)]
    assert losses[-1] < 0.7 * losses[0]
    assert of_target(run.summary)["test_mae"] < 0.8 * of_target(run.summary)["baseline_mae"]


def test_metrics_have_one_line_an_epoch(run):
    epochs = metrics(run.folder)
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 11))
    assert all({"loss", "learning_rate", "validation_error"} <= epoch.keys() for epoch in epochs)
    assert all(set(of_target(epoch)) == {"validation_mae"} for epoch in epochs)


def test_the_kept_model_is_the_best_epoch(run):
    errors = [epoch["validation_error"] for epoch in metrics(run.folder)]
    assert run.summary["best_epoch"] == 1 + int(np.argmin(errors))
    assert run.summary["validation_error"] == min(errors)
    dataset = energies()
    rows = [dataset.ids.index(name) for name in parts_of(run.folder)["validation"]]
    predicted = run.predict(dataset.select(rows))
    error = np.abs(predicted - dataset.values(ENERGY)[rows]).mean()
    assert error == pytest.approx(of_target(run.summary)["validation_mae"], rel=1e-5)


def test_test_predictions_come_from_the_kept_model(run):
    header, rows = table(run.folder / "test_predictions.csv")
    assert header == ["material_id", ENERGY, f"{ENERGY}_predicted"]
    dataset = energies()
    selected = dataset.select([dataset.ids.index(row[0]) for row in rows])
    assert {row[0] for row in rows} == set(parts_of(run.folder)["test"])
    np.testing.assert_allclose([float(row[1]) for row in rows], selected.values(ENERGY), rtol=1e-6)
    reloaded = crystallite.load_model(run.folder / "best.safetensors").predict(selected)
    np.testing.assert_allclose([float(row[2]) for row in rows], reloaded, rtol=1e-5, atol=1e-6)


def test_summary_agrees_with_the_table(run):
    found = summary(run.folder)
    assert found == run.summary
    rows = np.array([row[1:] for row in table(run.folder / "test_predictions.csv")[1]], float)
    assert of_target(found)["test_mae"] == pytest.approx(np.abs(rows[:, 0] - rows[:, 1]).mean(), rel=1e-5)
    dataset, parts = energies(), parts_of(run.folder)
    values = dict(zip(dataset.ids, dataset.values(ENERGY), strict=True))
    mean = np.mean([values[name] for name in parts["train"]])
    assert of_target(found)["baseline_mae"] == pytest.approx(
        np.mean([abs(values[name] - mean) for name in parts["test"]])
    )
    assert (found["n_train"], found["n_validation"], found["n_test"]) == (240, 30, 30)


@pytest.mark.parametrize("name", ["parity", "learning_curve"])
def test_figures_are_pictures(run, name):
    pixels = matplotlib.image.imread(run.folder / f"{name}.png")
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.01


def test_the_folder_says_how_it_was_made(run):
    config = tomllib.loads((run.folder / "config.toml").read_text())
    assert config["data"]["targets"] == [ENERGY]
    assert config["training"]["epochs"] == 10
    assert config["model"]["atom_width"] == 16
    assert config["environment"]["crystallite"] == crystallite.__version__
    model = read_model(run.folder / "best.safetensors")
    assert model.targets.units == ("eV/atom",)
    assert [epoch["epoch"] for epoch in model.info["history"]] == list(
        range(1, run.summary["best_epoch"] + 1)
    )
    assert (run.folder / "last.safetensors").is_file()


def test_only_finished_files_are_left(run):
    assert {path.name for path in run.folder.iterdir()} == {
        *("config.toml", "metrics.jsonl", "best.safetensors", "last.safetensors", "split.csv"),
        *("test_predictions.csv", "summary.json", "parity.png", "learning_curve.png", ".lock"),
    }


def test_a_folder_in_use_is_left_alone(run):
    before = (run.folder / "summary.json").read_bytes()
    with pytest.raises(CrystalliteError, match=r"not empty.*--resume"):
        train(energies(40), run.folder)
    assert (run.folder / "summary.json").read_bytes() == before


def test_runs_are_numbered_when_no_folder_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(train(energies(40), None, epochs=1).folder) for _ in range(2)]
    assert folders == [f"runs/formation-{ENERGY}-1", f"runs/formation-{ENERGY}-2"]


def test_headers_of_models_are_json(run):
    from safetensors import safe_open

    for name in ("best", "last"):
        with safe_open(run.folder / f"{name}.safetensors", framework="pt") as file:
            assert strict_json(file.metadata()["crystallite"])


# ---- stopping early, and going wrong


def test_patience_stops_early(tmp_path):
    run = train(energies(100), tmp_path / "run", epochs=60, patience=1)
    epochs, best = run.summary["epochs"], run.summary["best_epoch"]
    assert epochs < 60
    assert epochs == best + 1
    assert len(metrics(run.folder)) == epochs


def test_divergence_is_said_plainly(tmp_path):
    with pytest.raises(CrystalliteError, match=r"diverged in epoch \d+.*--lr"):
        train(
            energies(60),
            tmp_path / "run",
            optimizer="sgd",
            schedule="constant",
            loss="mse",
            learning_rate=1e30,
        )


def test_what_has_diverged_is_not_kept(tmp_path):
    """The loss of each step is finite, but no prediction is."""
    with pytest.raises(CrystalliteError, match=r"diverged in epoch 1: .* not finite; lower .*--lr"):
        train(energies(60), tmp_path / "run", learning_rate=1e6)
    assert not {path.name for path in (tmp_path / "run").iterdir()} & {"best.safetensors", "summary.json"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "formation_energy"}, f"did you mean {ENERGY}"),
        ({"split_column": "part"}, "no property 'part'"),
        ({"recipe": "secret"}, "recipes: modern, paper"),
        ({"epoch": 3}, "there is no setting epoch; settings: .*epochs"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"task": "classification"}, "values 0 and 1 only"),
        ({"split": "1/20/19"}, "at least 2 are needed"),
    ],
)
def test_mistakes_are_told_before_a_folder_is_made(settings, message, tmp_path):
    with pytest.raises(CrystalliteError, match=message):
        train(energies(40), tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(tmp_path):
    run = train(energies(40), tmp_path / "run", epochs=np.int64(1), learning_rate=np.float32(0.01))
    config = tomllib.loads((run.folder / "config.toml").read_text())
    assert config["training"]["epochs"] == 1
    assert config["training"]["learning_rate"] == pytest.approx(0.01)
