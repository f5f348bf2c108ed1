"""Folds, ensembles and learning curves: several trainings as one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import crystallite
from crystallite import experiments
from crystallite.dataset import Dataset
from crystallite.learning_curve import fit_power_law
from crystallite.prediction import EnsemblePredictor, load_predictor
from crystallite.splits import fold_split
from crystallite.uncertainty import coverage, fit_calibration

TARGET = "log10_bulk_modulus"
SMALL = {"epochs": 1, "atom_width": 8, "hidden_width": 8, "n_convolutions": 1}


@pytest.fixture(scope="module")
def planted() -> Dataset:
    """60 crystals and, under other ids, 12 of them again."""
    elastic = Dataset.read("elastic").select(range(60))
    again = [*range(60), *range(12)]
    arrays = elastic.select(again)
    ids = [*elastic.ids, *(f"again-{k}" for k in range(12))]
    return Dataset.from_arrays(arrays.arrays, ids, {TARGET: arrays.values(TARGET)}, {TARGET: "log10(GPa)"})


def parts_of(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["material_id"]: row["split"] for row in csv.DictReader(file)}


def test_folds_test_every_crystal_once_and_share_no_material(planted, tmp_path):
    folder = experiments.start_group(planted, TARGET, {"folds": 3}, out=tmp_path / "run", **SMALL)
    summary = experiments.resume_group(folder, data=planted, progress=False)
    tested = []
    for fold in ("fold-1", "fold-2", "fold-3"):
        parts = parts_of(folder / fold / "split.csv")
        tested += [material_id for material_id, part in parts.items() if part == "test"]
        assert set(parts.values()) == {"train", "validation", "test"}
        for k in range(12):
            assert parts[f"again-{k}"] == parts[planted.ids[k]]
    assert sorted(tested) == sorted(planted.ids)
    with (folder / "test_predictions.csv").open(newline="") as file:
        assert sorted(row["material_id"] for row in csv.DictReader(file)) == sorted(planted.ids)
    assert summary["n_runs"] == 3
    assert summary["test_mae_confidence"] > 0


def test_an_ensemble_predicts_mean_and_deviation(planted, tmp_path):
    folder = experiments.start_group(planted, TARGET, {"members": 2}, out=tmp_path / "run", **SMALL)
    experiments.resume_group(folder, data=planted, progress=False)
    ensemble = load_predictor(folder)
    assert isinstance(ensemble, EnsemblePredictor)
    mean, deviation = ensemble.predict_with_uncertainty(planted)
    members = [load_predictor(folder / f"member-{k}").predict(planted) for k in (1, 2)]
    np.testing.assert_allclose(mean, np.mean(members, axis=0), rtol=1e-12)
    assert (deviation > 0).all()
    assert not np.array_equal(members[0], members[1])
    assert ensemble.columns == (TARGET, f"{TARGET}_std")


def test_a_learning_curve_keeps_its_test_part(planted, tmp_path):
    folder = experiments.start_group(planted, TARGET, {"sizes": [10, 40]}, out=tmp_path / "run", **SMALL)
    summary = experiments.resume_group(folder, data=planted, progress=False)
    small, large = (parts_of(folder / f"size-{n}" / "split.csv") for n in (10, 40))
    assert sum(part == "train" for part in small.values()) == 10
    assert {i for i, part in small.items() if part == "test"} == {i for i, p in large.items() if p == "test"}
    assert len(summary["test_mae"]) == 2


def test_contributions_of_atoms_average_to_the_prediction(planted, tmp_path):
    run = crystallite.train(
        planted, TARGET, readout="per-atom", out=tmp_path / "run", progress=False, **SMALL
    )
    crystal = planted.crystal(5)
    contributions = run.site_contributions(crystal)
    assert len(contributions) == len(crystal)
    # float32 network, full against reduced graph: a few units in the last place of numbers near 2
    np.testing.assert_allclose(contributions.mean(), run.predict(crystal)[0], rtol=1e-5)


def test_frozen_parts_stay_and_the_rest_is_trained(planted, tmp_path):
    first = crystallite.train(planted, TARGET, out=tmp_path / "first", progress=False, **SMALL)
    tuned = crystallite.train(
        planted, TARGET, start_from=tmp_path / "first", frozen=("embedding",), averaging=0.0,
        epochs=2, out=tmp_path / "tuned", progress=False,
    )  # fmt: skip
    before, after = (run.model.network.state_dict() for run in (first, tuned))
    assert before["embedding.weight"].equal(after["embedding.weight"])
    assert not before["output.weight"].equal(after["output.weight"])


def test_folds_hold_whole_groups():
    groups = np.random.default_rng(0).integers(0, 40, 200)
    groups = np.unique(groups, return_inverse=True)[1]
    tested = np.concatenate([fold_split(groups, k, 5, seed=1).test for k in range(1, 6)])
    assert sorted(tested) == list(range(200))
    for k in range(1, 6):
        split = fold_split(groups, k, 5, seed=1)
        for a, b in (
            (split.train, split.validation),
            (split.train, split.test),
            (split.validation, split.test),
        ):
            assert not set(groups[a]) & set(groups[b])


def test_calibration_finds_the_deviation_errors_were_drawn_from():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 2, 4000)
    error = rng.normal(0, np.sqrt((1.7 * spread) ** 2 + 0.6**2))
    calibration = fit_calibration(error, spread)
    # 4,000 draws: a share of 0.68 is known to 0.007 (one standard error)
    observed = coverage(error, calibration.deviation(spread), np.array([0.6827, 0.9545]))
    np.testing.assert_allclose(observed, [0.6827, 0.9545], atol=0.025)


def test_power_law_is_recovered():
    sizes = np.array([100.0, 1000.0, 10000.0])
    factor, exponent = fit_power_law(sizes, 3 * sizes**-0.4)
    assert (factor, exponent) == (pytest.approx(3), pytest.approx(0.4))
