"""A model predicts with the settings it was trained with, wherever it is asked; options override them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from golden_files import GOLDEN
from grouped_runs import Said, moduli, train_group
from training_runs import energies, one_thread, table, train  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import build_graphs
from crystallite.models.checkpoint import read_model, save_model
from crystallite.models.inference import predict_graphs
from crystallite.models.loading import load_model

PUBLISHED = GOLDEN / "formation-energy-per-atom.pth.tar"


@pytest.fixture(scope="module")
def data():
    return energies(100)


@pytest.fixture(scope="module", params=[{"ties": "first"}, {"n_neighbors": 8, "ties": "first", "cutoff": 6}])
def run(data, request, tmp_path_factory):
    learning = {"convolution": "gated", "learning_rate": 0.01}  # so that one epoch makes bonds count
    return train(data, tmp_path_factory.mktemp("runs") / "run", epochs=1, **learning, **request.param)


def predicted(path):
    return np.array([float(row[1]) for row in table(path)[1]])


def test_a_reloaded_run_predicts_as_the_run_does(run, data):
    expected = predict_graphs(run.model, build_graphs(data.arrays, run.model.graph))[:, 0]
    assert run.model.graph.ties == "first"
    np.testing.assert_array_equal(run.predict(data), expected)
    for path in (run.folder, run.folder / "best.safetensors"):
        again = load_model(path)
        assert again.model.graph == run.model.graph
        np.testing.assert_array_equal(again.predict(data), expected)


def test_the_command_predicts_as_the_run_does(run, data, tmp_path, capsys):
    data.write(tmp_path / "data.parquet")
    words = ["predict", run.folder, tmp_path / "data.parquet", "-o", tmp_path / "out.csv"]
    assert Said(capsys, *words).err.count("Notice") == 0
    np.testing.assert_allclose(predicted(tmp_path / "out.csv"), run.predict(data), rtol=1e-9)
    assert Said(capsys, *words, "--ties", "shared").status == 0
    shared = load_model(run.folder, ties="shared").predict(data)
    assert np.abs(shared - run.predict(data)).max() > 1e-4
    np.testing.assert_allclose(predicted(tmp_path / "out.csv"), shared, rtol=1e-9)


def test_a_published_checkpoint_shares_ties_and_says_so(data, tmp_path, capsys):
    data.select(range(3)).write(tmp_path / "data.parquet")
    said = Said(capsys, "predict", PUBLISHED, tmp_path / "data.parquet")
    assert (said.status, len(said.out.splitlines())) == (0, 4)
    assert said.err == f"Notice: {load_model(PUBLISHED).notice}\n"
    assert "ties" in said.err
    for ties in ("shared", "first"):
        predictor = load_model(PUBLISHED, ties=ties)
        assert (predictor.model.graph.ties, predictor.notice) == (ties, "")
        assert Said(capsys, "predict", PUBLISHED, tmp_path / "data.parquet", "--ties", ties).err == ""
    shared = load_model(PUBLISHED, ties="shared").predict(data)
    np.testing.assert_array_equal(load_model(PUBLISHED).predict(data), shared)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ensemble"
    train_group(moduli(), {"members": 2}, folder, n_neighbors=8, ties="first")
    return folder


def test_an_ensemble_predicts_with_its_settings(ensemble):
    crystals = moduli().select(range(20))
    predictor = load_model(ensemble)
    assert (predictor.model.graph.n_neighbors, predictor.model.graph.ties) == (8, "first")
    members = [load_model(ensemble / name).predict(crystals) for name in ("member-1", "member-2")]
    np.testing.assert_allclose(predictor.predict(crystals), np.mean(members, axis=0))
    other = load_model(ensemble, ties="shared").predict(crystals)
    assert np.abs(other - predictor.predict(crystals)).max() > 0


@pytest.mark.parametrize(("name", "value"), [("n_neighbors", 9), ("ties", "shared"), ("cutoff", 7.0)])
def test_members_of_other_graphs_are_no_ensemble(ensemble, name, value, tmp_path):
    spoiled = shutil.copytree(ensemble, tmp_path / "ensemble")
    model = read_model(spoiled / "member-2" / "best.safetensors")
    model.graph = type(model.graph)(**{**model.graph.to_dict(), name: value})
    save_model(spoiled / "member-2" / "best.safetensors", model)
    with pytest.raises(CrystalliteError, match=r"ensemble: member-2 .*other graph settings than member-1"):
        load_model(spoiled)
