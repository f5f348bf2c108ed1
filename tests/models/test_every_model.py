"""What every kind of model promises: networks of all shapes, published checkpoints and ensembles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from golden_files import GOLDEN
from grouped_runs import MODULUS, TINY, TINY_PER_ATOM, moduli, train_group
from strategies import SUPERCELLS, in_cell, made, reordered, rotated, shifted
from training_runs import one_thread  # noqa: F401

import crystallite
from crystallite.errors import CrystalError
from crystallite.models import inference
from crystallite.models.checkpoint import read_model, same_arrays, save_model
from crystallite.models.loading import load_model
from crystallite.models.predictor import EnsemblePredictor, Predictor

pytestmark = pytest.mark.filterwarnings("ignore:.* is known for .* validation crystals")

RUNS = {
    "gated": {"convolution": "gated"},
    "plain": {"convolution": "plain"},
    "edge-updating": {"convolution": "edge-updating"},
    "per atom": {"readout": "per-atom"},
    "two targets": {"target": ["bulk_modulus:log10", "poisson_ratio"]},
    "classes": {"target": "stiff", "task": "classification"},
    "eight neighbours": {"n_neighbors": 8},
}
PUBLISHED = ("formation-energy-per-atom", "semi-metal-classification")
CHANGES = {
    "order": reordered,
    "origin": shifted,
    "rotation": rotated,
    "reflection": lambda crystal, rng: rotated(crystal, rng, mirrored=True),
    "unit cell": lambda crystal, rng: in_cell(crystal, [[1, 1, 0], [0, 1, 1], [0, 0, 1]]),
    "supercell": lambda crystal, rng: in_cell(crystal, SUPERCELLS["turned x2"]),
}


@pytest.fixture(scope="module", params=[*RUNS, *PUBLISHED, "ensemble"])
def path(request, tmp_path_factory) -> Path:
    """A model of each kind."""
    kind, folder = request.param, tmp_path_factory.mktemp("models") / "model"
    if kind in PUBLISHED:
        return GOLDEN / f"{kind}.pth.tar"
    if kind == "ensemble":
        train_group(moduli(), {"members": 2}, folder)
        return folder
    data = moduli().with_property("stiff", moduli().values(MODULUS) > 2)
    tiny = TINY_PER_ATOM if kind == "per atom" else TINY
    crystallite.train(data, **{"target": MODULUS, **tiny, **RUNS[kind]}, out=folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def predictor(path):
    return load_model(path)


@pytest.fixture(scope="module")
def some():
    """Crystals that no model here was trained on."""
    return moduli(100).select(range(60, 100))


def all_columns(predictor, crystals):
    """(crystals, columns): of an ensemble the deviations too."""
    return predictor.predict_packed(predictor.graphs(crystals))


def assert_close(predictor, found, expected):
    """Networks run in float32, and add the same numbers in another order: 1e-5 of the targets' deviation."""
    n_targets = len(predictor.model.targets.names)
    scale = np.tile(predictor.model.targets.std, found.shape[1] // n_targets)
    assert (np.abs(found - expected) <= 1e-5 * (scale + np.abs(expected))).all()


@pytest.mark.parametrize("change", CHANGES)
def test_a_prediction_does_not_depend_on_how_the_crystal_is_written(change, predictor, some):
    rng = np.random.default_rng(0)
    written = [CHANGES[change](crystal, rng) for crystal in some]
    expected = all_columns(predictor, some)
    assert (np.ptp(expected, axis=0) > 0).all()
    assert_close(predictor, all_columns(predictor, written), expected)


@pytest.mark.parametrize("edges", [1, 700])
def test_it_does_not_depend_on_batches_and_company(edges, predictor, some, monkeypatch):
    expected = all_columns(predictor, some)
    monkeypatch.setattr(inference, "BATCH_EDGES", edges)
    assert_close(predictor, all_columns(predictor, some), expected)
    order = np.random.default_rng(0).permutation(len(some))
    assert_close(predictor, all_columns(predictor, some.select(order)), expected[order])
    assert_close(predictor, all_columns(predictor, some.crystal(3)), expected[3:4])


def test_a_dataset_a_list_and_an_iterator_are_the_same(predictor, some):
    expected = predictor.predict(some)
    n_targets = len(predictor.model.targets.names)
    assert expected.shape == ((len(some),) if n_targets == 1 else (len(some), n_targets))
    assert expected.dtype == np.float64
    for crystals in (list(some), iter(some)):
        np.testing.assert_array_equal(predictor.predict(crystals, workers=2), expected)


def test_what_is_loaded_again_predicts_the_same_bits(predictor, path, some, tmp_path):
    moved = shutil.copytree(path, tmp_path / "run") if path.is_dir() else shutil.copy(path, tmp_path)
    np.testing.assert_array_equal(all_columns(load_model(moved), some), all_columns(predictor, some))


def test_every_model_of_it_is_saved_with_all_its_bits(predictor, some, tmp_path):
    for model in predictor.models:
        save_model(tmp_path / "model.safetensors", model)
        again = read_model(tmp_path / "model.safetensors")
        assert same_arrays(again.weights, model.weights)
        assert (again.graph, again.targets) == (model.graph, model.targets)
        np.testing.assert_array_equal(
            all_columns(load_model(tmp_path / "model.safetensors"), some), all_columns(Predictor(model), some)
        )


def test_nothing_in_nothing_out(predictor, some):
    expected = predictor.predict(some)
    for nothing in ([], some.select([])):
        assert predictor.predict(nothing).shape == (0, *expected.shape[1:])
        assert all_columns(predictor, nothing).shape == (0, len(predictor.columns))
    if isinstance(predictor, EnsemblePredictor):
        mean, deviation = predictor.predict_with_uncertainty([])
        assert mean.shape == deviation.shape == predictor.predict([]).shape


@pytest.mark.parametrize("number", [0, 101])
def test_an_element_outside_the_table_is_refused_by_name(number, predictor, some):
    with pytest.raises(
        CrystalError, match="crystal 1: an element is outside the table, atomic numbers 1 to 100"
    ):
        predictor.predict([some.crystal(0), made([3, 3, 3], [number], [0, 0, 0])])


def test_an_element_that_training_never_saw_has_a_prediction(predictor):
    seen = {int(number) for crystal in moduli() for number in crystal.numbers}
    assert 100 not in seen
    assert np.isfinite(predictor.predict(made([4, 4, 4], [100], [0, 0, 0]))).all()


def test_ties_are_changed_in_a_copy(predictor, some):
    before = predictor.predict(some)
    first = predictor.with_ties("first")
    assert (type(first), first.model.graph.ties) == (type(predictor), "first")
    assert np.abs(first.predict(some) - before).max() > 0
    np.testing.assert_array_equal(first.with_ties(predictor.model.graph.ties).predict(some), before)
