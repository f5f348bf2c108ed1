"""Fine-tuning never tests or validates on what the model to start from was trained on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from golden_files import GOLDEN
from grouped_runs import runs_of, train_group
from strategies import disguised
from training_runs import ENERGY, SMALL, energies, one_thread, parts_of, train  # noqa: F401

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_model, save_model


@pytest.fixture(scope="module")
def data():
    return energies(120)


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    """A run on 120 crystals with the split of seed 0."""
    return train(data, tmp_path_factory.mktemp("first") / "run", split="60/20/20", epochs=1)


def tuned(data, first, out, **settings):
    settings = {"split": "60/20/20", "epochs": 1, "batch_size": SMALL["batch_size"], **settings}
    return crystallite.train(data, ENERGY, start_from=str(first.folder), out=out, progress=False, **settings)


def test_what_the_model_has_seen_is_kept_out_and_said(data, first, tmp_path):
    with pytest.warns(UserWarning, match=r"has seen \d+ validation and \d+ test crystals") as caught:
        run = tuned(data, first, tmp_path / "run", seed=1)
    before, after = parts_of(first.folder), parts_of(run.folder)
    assert not set(after["test"]) & {*before["train"], *before["validation"]}
    assert not set(after["validation"]) & set(before["train"])
    drawn = parts_of(train(data, tmp_path / "plain", split="60/20/20", epochs=1, seed=1).folder)
    assert after["train"] == drawn["train"]
    assert after["test"] == [name for name in drawn["test"] if name in before["test"]]
    lost = [len(drawn[part]) - len(after[part]) for part in ("validation", "test")]
    assert f"{lost[0]} validation and {lost[1]} test" in str(caught[0].message)
    assert run.summary["n_test"] == len(after["test"])


def test_the_models_own_split_loses_nothing(data, first, tmp_path):
    with warnings.catch_warnings(action="error"):
        run = tuned(data, first, tmp_path / "run")
    assert parts_of(run.folder) == parts_of(first.folder)


def test_other_names_and_cells_do_not_hide_a_crystal(data, first, tmp_path):
    copies = [disguised(crystal, row) for row, crystal in enumerate(data)]
    names = [f"copy-{row}" for row in range(len(data))]
    hidden = Dataset.from_crystals(copies, names, {ENERGY: data.values(ENERGY)}, {ENERGY: "eV/atom"})
    with pytest.warns(UserWarning, match="has seen"):
        run = tuned(hidden, first, tmp_path / "run", seed=1)
    rows = [names.index(name) for name in parts_of(run.folder)["test"]]
    assert rows
    assert {data.ids[row] for row in rows} <= set(parts_of(first.folder)["test"])


def test_nothing_left_to_test_on_is_refused(data, first, tmp_path):
    trained = np.isin(data.ids, parts_of(first.folder)["train"])
    with pytest.raises(CrystalliteError, match=r"trained on all \d+ crystals of the \w+ set; take its own"):
        tuned(data.select(trained), first, tmp_path / "run", seed=1)
    assert not (tmp_path / "run").exists()


def test_folds_keep_them_out_too(data, first, tmp_path):
    with pytest.warns(UserWarning, match="has seen"):
        train_group(
            data, {"folds": 3}, tmp_path / "folds", ENERGY, start_from=str(first.folder),
            atom_width=SMALL["atom_width"], hidden_width=SMALL["hidden_width"],
            n_convolutions=SMALL["n_convolutions"],
        )  # fmt: skip
    tested = {name for run in runs_of(tmp_path / "folds") for name in parts_of(run)["test"]}
    assert tested == set(parts_of(first.folder)["test"])


def test_a_model_tuned_twice_remembers_both_training_runs(data, first, tmp_path):
    other = energies(200).select(range(120, 200))
    second = tuned(other, first, tmp_path / "second")
    with pytest.warns(UserWarning, match="has seen"):
        third = tuned(energies(200), second, tmp_path / "third", seed=2)
    seen = {*parts_of(first.folder)["train"], *parts_of(second.folder)["train"]}
    assert not set(parts_of(third.folder)["test"]) & seen


@pytest.mark.parametrize("model", ["published", "0.1.0"])
def test_a_model_that_cannot_say_is_warned_of(model, data, first, tmp_path):
    path = GOLDEN / "formation-energy-per-atom.pth.tar"
    if model == "0.1.0":
        path = tmp_path / "old.safetensors"
        trained = read_model(first.folder / "best.safetensors")
        trained.seen = None
        save_model(path, trained)
    with pytest.warns(UserWarning, match=r"does not say which crystals it was trained on"):
        run = crystallite.train(
            data, ENERGY, start_from=str(path), epochs=1, out=tmp_path / "run", progress=False
        )
    assert run.model.seen is None  # nor can what comes of it
    assert read_model(run.folder / "best.safetensors").seen is None


def test_hashes_travel_with_the_model(data, first):
    seen = read_model(first.folder / "best.safetensors").seen
    assert (len(seen.training), len(seen.validation)) == (2 * 72, 2 * 24)
    assert first.summary["n_train"] == 72
