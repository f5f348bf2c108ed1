"""Estimators for scikit-learn: they are `crystallite.train`, and work where scikit-learn's estimators do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from training_runs import one_thread  # noqa: F401

import crystallite
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sklearn import CrystalClassifier, CrystalRegressor, material_groups

SHAPE: dict[str, Any] = {"atom_width": 8, "n_convolutions": 1, "hidden_width": 8}
TINY: dict[str, Any] = {"epochs": 2, "batch_size": 32, **SHAPE}
DATA = Dataset.read("dielectric").select(range(80))
GAPS = DATA.values("band_gap")
WIDE = np.where(np.median(GAPS) < GAPS, "wide", "narrow")


@pytest.fixture(scope="module")
def regressor() -> CrystalRegressor:
    return CrystalRegressor(**TINY).fit(DATA, GAPS)


@pytest.fixture(scope="module")
def classifier() -> CrystalClassifier:
    return CrystalClassifier(**TINY).fit(DATA, WIDE)


def test_it_is_crystallite_train(tmp_path):
    weights = np.linspace(0, 2, len(DATA))
    kept = CrystalRegressor(**TINY, random_state=3, validation_fraction=0.2, out=tmp_path / "kept")
    kept.fit(DATA, GAPS, sample_weight=weights)
    data = DATA.with_property("weight", weights)
    run = crystallite.train(
        data, "band_gap", split="80/20/0", weight_column="weight", seed=3, out=tmp_path / "run",
        progress=False, **TINY,
    )  # fmt: skip
    np.testing.assert_array_equal(kept.predict(DATA), run.predict(DATA))
    assert [epoch["loss"] for epoch in kept.history_] == [
        epoch["loss"] for epoch in run.model.info["history"]
    ]
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("kept", "run")]
    assert files[0] == files[1]
    again = crystallite.load_model(tmp_path / "kept")
    np.testing.assert_array_equal(again.predict(DATA), run.predict(DATA))
    with pytest.raises(CrystalliteError, match="kept is not empty"):
        kept.fit(DATA, GAPS)


def test_it_learns():
    elastic = Dataset.read("elastic").select(range(300))
    moduli = elastic.values("log10_bulk_modulus")
    learned = CrystalRegressor(epochs=12, batch_size=32, **SHAPE).fit(elastic[:250], moduli[:250])
    assert learned.score(elastic[250:], moduli[250:]) > 0.5


@pytest.mark.parametrize("kind", [list, tuple, iter, pd.Series, lambda x: np.fromiter(x, object)])
def test_crystals_come_in_any_sequence(regressor, kind):
    np.testing.assert_array_equal(regressor.predict(kind(list(DATA[:9]))), regressor.predict(DATA[:9]))


def test_structures_of_pymatgen_and_ase(regressor):
    copper = bulk("Cu", cubic=True)
    same = Structure(Lattice(copper.cell[:]), ["Cu"] * 4, copper.get_scaled_positions())
    ours = Crystal(np.full(4, 29, np.uint8), copper.cell[:], copper.get_scaled_positions())
    first, second, third = regressor.predict([copper, same, ours])
    np.testing.assert_allclose([second, third], first, rtol=1e-5)
    mixed = [copper, same, *DATA[:20]]
    assert CrystalRegressor(**TINY).fit(mixed, range(22)).predict(mixed).shape == (22,)


def test_several_targets_of_which_some_are_unknown():
    both = np.column_stack([GAPS, DATA.values("refractive_index")])
    both[::3, 1] = np.nan
    fitted = CrystalRegressor(**TINY).fit(DATA, both)
    assert fitted.predict(DATA[:5]).shape == (5, 2)
    np.testing.assert_allclose(fitted.predict(DATA).mean(axis=0), np.nanmean(both, axis=0), rtol=0.7)


def test_the_same_seed_gives_the_same_bits(regressor):
    def predicted(**changes):
        return clone(regressor).set_params(**changes).fit(list(DATA), GAPS).predict(DATA)

    np.testing.assert_array_equal(predicted(), regressor.predict(DATA))
    np.testing.assert_array_equal(*(predicted(random_state=np.random.RandomState(1)) for _ in range(2)))
    assert not np.array_equal(predicted(random_state=1), predicted())


def test_a_classifier_has_probabilities_of_its_labels(classifier):
    assert classifier.classes_.tolist() == ["narrow", "wide"]
    probabilities = classifier.predict_proba(DATA)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.predict(DATA) == "wide", probabilities[:, 1] > 0.5)
    heavy = clone(classifier).fit(DATA, WIDE, sample_weight=np.where(WIDE == "wide", 50.0, 1.0))
    assert (heavy.predict_proba(DATA)[:, 1] > probabilities[:, 1]).all()
    assert heavy.score(DATA, WIDE) == (heavy.predict(DATA) == WIDE).mean()


def test_what_scikit_learn_is_told(regressor, classifier):
    assert is_regressor(regressor)
    assert is_classifier(classifier)
    assert not get_tags(regressor).input_tags.two_d_array
    assert get_tags(regressor).target_tags.multi_output
    assert not get_tags(classifier).classifier_tags.multi_class
    assert not hasattr(regressor, "n_features_in_")
    assert repr(CrystalRegressor(epochs=3)) == "CrystalRegressor(epochs=3)"


@pytest.mark.parametrize("name", ["regressor", "classifier"])
def test_a_file_holds_it(name, request, tmp_path):
    fitted = request.getfixturevalue(name)
    joblib.dump(fitted, tmp_path / "model.joblib", compress=3)
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict(DATA), fitted.predict(DATA))
    assert again.get_params() == fitted.get_params()
    assert again.history_ == fitted.history_
    joblib.dump(clone(fitted), tmp_path / "unfitted.joblib")
    assert not hasattr(joblib.load(tmp_path / "unfitted.joblib"), "predictor_")


def test_cross_validation_by_material():
    twice = DATA[[*range(40), *range(40)]]
    groups = material_groups(twice)
    np.testing.assert_array_equal(groups[:40], groups[40:])
    assert len(set(groups)) == len(set(groups[:40])) > 30
    np.testing.assert_array_equal(material_groups(list(twice)), groups)
    scores = cross_val_score(
        CrystalRegressor(**TINY), twice, np.tile(GAPS[:40], 2), groups=groups, cv=GroupKFold(2),
        scoring="neg_mean_absolute_error", error_score="raise",
    )  # fmt: skip
    assert np.isfinite(scores).all()
    predicted = cross_val_predict(CrystalClassifier(**TINY), DATA, WIDE, cv=2, method="predict_proba")
    assert predicted.shape == (80, 2)


def test_a_search_over_a_pipeline():
    pipeline = Pipeline([("crystals", FunctionTransformer()), ("network", CrystalRegressor(**TINY))])
    search = GridSearchCV(pipeline, {"network__learning_rate": [1e-6, 0.02]}, cv=2, error_score="raise")
    search.fit(list(DATA), GAPS)
    assert search.best_params_ == {"network__learning_rate": 0.02}
    assert search.predict(list(DATA[:3])).shape == (3,)
    weighted = clone(pipeline).fit(list(DATA), GAPS, network__sample_weight=np.ones(80))
    assert weighted.score(list(DATA), GAPS) < 1


def test_ctrl_c_stops_a_search_and_not_one_fit():
    long = CrystalRegressor(**{**TINY, "epochs": 100_000})
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            GridSearchCV(long, {"batch_size": [8, 16]}, cv=2).fit(list(DATA), GAPS)
    finally:
        timer.cancel()


@pytest.mark.parametrize(
    ("changes", "X", "y", "error", "message"),
    [
        (
            {"validation_fraction": 1},
            DATA,
            GAPS,
            CrystalliteError,
            r"validation_fraction must lie in \[0, 1\)",
        ),
        ({"epochs": 0}, DATA, GAPS, CrystalliteError, "epochs must be at least 1"),
        ({"recipe": "old"}, DATA, GAPS, CrystalliteError, "there is no recipe 'old'"),
        ({"device": "abacus"}, DATA, GAPS, CrystalliteError, "cannot use device 'abacus'"),
        ({}, [*DATA[:3], "NaCl"], GAPS[:4], CrystalError, "crystal 3 of X: str is not a Crystal"),
        ({}, DATA[0], GAPS[:1], ValueError, "minimum of 2 is required"),
        ({}, DATA[0], GAPS, CrystalliteError, "X must be crystals.*not Crystal"),
        ({}, DATA, GAPS[:7], ValueError, "inconsistent numbers of samples"),
        ({}, DATA, GAPS * np.nan, ValueError, "at least two values of each target"),
    ],
)
def test_mistakes_are_named(changes, X, y, error, message):
    with pytest.raises(error, match=message):
        CrystalRegressor(**{**TINY, **changes}).fit(X, y)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (np.arange(80) % 3, None, "Only binary classification is supported.*multiclass"),
        (["wide"] * 80, None, "one class, wide"),
        (WIDE, np.where(WIDE == "wide", 1, 0), "one class, wide"),
        (WIDE, [-1.0] * 80, "-1 is negative"),
        (WIDE, [0.0] * 80, "all weights are zero"),
        (WIDE, [1.0] * 79, "inconsistent numbers of samples"),
    ],
)
def test_mistakes_in_labels_and_weights_are_named(y, weights, message):
    with pytest.raises(ValueError, match=message):
        CrystalClassifier(**TINY).fit(DATA, y, sample_weight=weights)


def test_without_a_validation_set_the_last_epoch_is_kept():
    fitted = CrystalRegressor(**TINY, validation_fraction=0).fit(DATA, GAPS)
    assert [epoch["validation_error"] for epoch in fitted.history_] == [None, None]


def test_without_scikit_learn_it_says_what_to_install():
    program = "import sys; sys.modules['sklearn'] = None; import crystallite.sklearn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert re.search(
        r"crystallite\.sklearn needs the package .*: pip install 'crystallite\[sklearn\]'$", last
    )
