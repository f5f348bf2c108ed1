"""Targets of training: a number, a class, several at once, and values that are missing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from training_runs import (
    metrics,
    of_target,
    one_thread,  # noqa: F401
    parts_of,
    summary,
    table,
    train,
    with_gaps,
)

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.models.inference import network_outputs


@pytest.fixture(scope="module")
def stiff(elastic):
    """Elastic crystals with a 0/1 column that says whether the bulk modulus is above the median."""
    dataset = elastic.select(range(300))
    moduli = dataset.values("bulk_modulus")
    labels = np.where(moduli > np.median(moduli), 1.0, 0.0)
    labels[::20] = np.nan
    return dataset.with_property("stiff", labels)


def test_classification(stiff, tmp_path):
    run = train(stiff, tmp_path / "run", "stiff", task="classification", epochs=5)
    assert of_target(run.summary)["test_auc"] > 0.8
    assert run.summary["n_train"] + run.summary["n_validation"] + run.summary["n_test"] == 285
    assert (run.folder / "roc.png").is_file()
    probabilities = run.predict(stiff)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert len(set(probabilities)) > 0.9 * len(stiff)
    header, rows = table(run.folder / "test_predictions.csv")
    assert header == ["material_id", "stiff", "stiff_predicted"]
    truth, predicted = np.array([row[1:] for row in rows], float).T
    assert of_target(run.summary)["test_accuracy"] == pytest.approx(
        ((predicted > 0.5) == (truth == 1)).mean()
    )
    outranked = predicted[truth == 1][:, None] - predicted[truth == 0]
    assert of_target(run.summary)["test_auc"] == pytest.approx(
        (outranked > 0).mean() + (outranked == 0).mean() / 2
    )


def test_truth_values_are_classes_too(stiff, tmp_path):
    columns = {"hard": stiff.values("bulk_modulus") > 100}
    dataset = Dataset.from_arrays(stiff.arrays, stiff.ids, columns).select(range(80))
    run = train(dataset, tmp_path / "run", "hard", task="classification", epochs=1)
    assert 0 <= of_target(run.summary)["test_accuracy"] <= 1


def test_several_targets_with_missing_values(elastic, tmp_path):
    names = ["bulk_modulus", "shear_modulus"]
    dataset, missing = with_gaps(elastic.select(range(200)), names)
    run = train(dataset, tmp_path / "run", names, epochs=6)
    assert run.predict(dataset).shape == (200, 2)
    found = summary(run.folder)
    assert sum(found[f"n_{part}"] for part in ("train", "validation", "test")) == (~missing.all(axis=1)).sum()
    header, rows = table(run.folder / "test_predictions.csv")
    assert header == ["material_id", *(f"{name}{end}" for name in names for end in ("", "_predicted"))]
    hidden = dict(zip(dataset.ids, missing, strict=True))
    for name, column in zip(names, (1, 3), strict=True):
        known = np.array([row[column : column + 2] for row in rows if row[column]], float)
        assert found["targets"][name]["test_mae"] == pytest.approx(np.abs(known[:, 0] - known[:, 1]).mean())
        assert found["targets"][name]["test_mae"] < found["targets"][name]["baseline_mae"]
        assert [not row[column] for row in rows] == [hidden[row[0]][(column - 1) // 2] for row in rows]
        assert (run.folder / f"parity_{name}.png").is_file()
        assert found["targets"][name]["validation_mae"] > 0
        assert found["targets"][name]["n_known"] == len(known) < found["n_test"]


def test_missing_values_do_not_move_the_scale(elastic, tmp_path):
    dataset = elastic.select(range(60))
    values = np.where(np.arange(60) % 3 == 0, np.nan, dataset.values("poisson_ratio"))
    run = train(dataset.with_property("x", values), tmp_path / "run", "x", epochs=1)
    known = values[np.isin(dataset.ids, parts_of(run.folder)["train"])]
    assert np.isfinite(known).all()
    assert run.model.targets.mean == pytest.approx([known.mean()])


def test_a_validation_part_of_one_class_says_nothing(stiff, tmp_path):
    dataset = stiff.select(np.isfinite(stiff.values("stiff")))
    classes = dataset.values("stiff")
    lowest = set(np.flatnonzero(classes == 0)[:20])
    labels = [
        "val" if row in lowest else ("test" if row % 5 == 0 else "train") for row in range(len(dataset))
    ]
    settings = {"task": "classification", "split_column": "part", "patience": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the few near-repetitions
        run = train(dataset.with_property("part", labels), tmp_path / "run", "stiff", **settings)
    assert [of_target(epoch)["validation_auc"] for epoch in metrics(run.folder)] == [None] * 3
    assert summary(run.folder)["best_epoch"] == 3


@pytest.mark.parametrize("row", range(0, 60, 20))
def test_a_logarithm_of_what_is_not_positive_is_named(row, elastic, tmp_path):
    """Wherever the crystal is, training set or not, and whatever the other targets are."""
    dataset = elastic.select(range(60))
    moduli = np.where(np.arange(60) == row, -1.0, dataset.values("shear_modulus"))
    targets = ["bulk_modulus:log10", "shear_modulus:log10", "poisson_ratio"]
    message = "target shear_modulus: log10 needs positive values, 1 are not"
    with pytest.raises(CrystalliteError, match=message):
        train(dataset.with_property("shear_modulus", moduli, "GPa"), tmp_path / "run", targets)
    assert not (tmp_path / "run").exists()


def test_logarithms_are_declared_target_by_target(elastic, tmp_path):
    dataset = elastic.select(range(60))
    hidden = np.where(np.arange(60) % 4 == 0, np.nan, dataset.values("shear_modulus"))
    dataset = dataset.with_property("shear_modulus", hidden, "GPa")
    run = train(dataset, tmp_path / "run", ["bulk_modulus", "shear_modulus:log10"], epochs=1)
    trained = np.isin(dataset.ids, parts_of(run.folder)["train"])
    bulk, shear = (dataset.values(name)[trained] for name in ("bulk_modulus", "shear_modulus"))
    means = [bulk.mean(), np.nanmean(np.log10(shear))]
    assert run.model.targets.mean == pytest.approx(means)
    assert [figures["unit"] for figures in run.summary["targets"].values()] == ["GPa", "GPa"]
    outputs = network_outputs(run.model.network, run.graphs(dataset), np.arange(60))
    scaled = outputs * run.model.targets.std + run.model.targets.mean
    expected = np.column_stack([scaled[:, 0], 10 ** scaled[:, 1]])
    np.testing.assert_allclose(run.predict(dataset), expected, rtol=1e-5)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_class_other_than_0_and_1_is_named_wherever_it_is(part, stiff, tmp_path):
    """In the test set a 2 once counted as class 0."""
    parts = np.where(np.arange(300) < 200, "train", np.where(np.arange(300) < 250, "validation", "test"))
    row = int(np.flatnonzero(parts == part)[3])
    labels = np.where(np.arange(300) == row, 2.0, stiff.values("stiff"))
    dataset = stiff.with_property("stiff", labels).with_property("part", parts.tolist())
    message = rf"values 0 and 1 only, 1 are not, such as 2 of {stiff.ids[row]} \({part} set\)"
    with pytest.raises(CrystalliteError, match=message):
        train(dataset, tmp_path / "run", "stiff", task="classification", split_column="part")
    unused = dataset.with_property("part", np.where(np.arange(300) == row, "", parts).tolist())
    settings = {"task": "classification", "split_column": "part", "epochs": 1}
    run = train(unused, tmp_path / "unused", "stiff", **settings)
    assert of_target(run.summary)["test_accuracy"] > 0


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_value_without_a_logarithm_is_named_wherever_it_is(part, elastic, tmp_path):
    parts = np.where(np.arange(60) < 40, "train", np.where(np.arange(60) < 50, "validation", "test"))
    row = int(np.flatnonzero(parts == part)[3])
    values = np.where(np.arange(60) == row, -665.0, elastic.values("bulk_modulus")[:60])
    dataset = (
        elastic.select(range(60)).with_property("K", values, "GPa").with_property("part", parts.tolist())
    )
    with pytest.raises(CrystalliteError, match=rf"such as -665 of {elastic.ids[row]} \({part} set\)"):
        train(dataset, tmp_path / "run", "K:log10", split_column="part")


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_constant_target_is_warned_of(task, elastic, tmp_path):
    dataset = elastic.select(range(30)).with_property("same", np.ones(30))
    with pytest.warns(UserWarning, match="target same: all training values are 1"):
        train(dataset, tmp_path / "run", "same", task=task, epochs=1)


def test_a_part_that_comes_out_empty_is_warned_of(elastic, tmp_path):
    with pytest.warns(UserWarning, match=r"80/10/10 of 4 crystals \(4 materials\) leaves the validation"):
        train(elastic.select(range(4)), tmp_path / "run", "bulk_modulus", epochs=1)
