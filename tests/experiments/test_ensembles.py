"""Ensembles: members that differ by their seed, a standard deviation calibrated on validation crystals."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from grouped_runs import MODULUS, TINY_OPTIONS, Said, moduli, part_of_rows, start, train_group
from scipy import stats
from training_runs import of_target, one_thread, same_weights, strict_json, summary, table, with_gaps  # noqa: F401

from crystallite import load_model
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.evaluation.calibration import Calibration, fit_calibration
from crystallite.experiments.ensembles import member_seed
from crystallite.models.predictor import EnsemblePredictor
from crystallite.runs.folder import RunConfig

pytestmark = pytest.mark.filterwarnings("ignore:.* is known for .* validation crystals")
MEMBERS = ("member-1", "member-2", "member-3")
SPLIT = "40/30/30"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "moduli.parquet"
    moduli().write(path)
    return path


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("ensembles") / "run"
    train_group(data, {"members": 3}, path, split=SPLIT)
    return path


def member_predictions(folder, data):
    """(members, crystals): each member asked alone."""
    return np.stack([load_model(folder / name).predict(data) for name in MEMBERS])


def test_members_differ_by_their_seed_alone(folder):
    configs = [RunConfig.read(folder / name) for name in MEMBERS]
    assert [config.training.seed for config in configs] == [member_seed(0, k) for k in (1, 2, 3)]
    assert len({config.data for config in configs}) == 1
    parts = [(folder / name / "split.csv").read_bytes() for name in MEMBERS]
    assert len(set(parts)) == 1
    assert not same_weights(folder / "member-1", folder / "member-2", ("best",))


def test_ensembles_of_different_seeds_share_no_member():
    seeds = [member_seed(seed, member) for seed in range(30) for member in range(1, 31)]
    assert len(set(seeds)) == len(seeds)
    assert member_seed(0, 2) == np.random.SeedSequence([0, 2]).generate_state(1)[0]


def test_predictions_are_mean_and_calibrated_spread(folder, data):
    dataset = Dataset.read(data)
    ensemble = load_model(folder)
    assert isinstance(ensemble, EnsemblePredictor)
    assert ensemble.columns == (MODULUS, f"{MODULUS}_std")
    mean, deviation = ensemble.predict_with_uncertainty(dataset)
    members = member_predictions(folder, dataset)
    np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(ensemble.predict(dataset), mean)
    written = strict_json((folder / "ensemble.json").read_text())["calibration"][MODULUS]
    assert (written["transform"], written["n_values"], written["calibrated"]) == ("standard", 18, False)
    scale, floor = written["scale"], written["floor"]
    spread = members.std(axis=0, ddof=1)
    np.testing.assert_allclose(deviation, np.sqrt((scale * spread) ** 2 + floor**2), rtol=1e-12)
    validated = part_of_rows(folder / "member-1") == "validation"
    error = (dataset.values(MODULUS) - mean)[validated]
    assert fit_calibration(error, spread[validated])[:2] == pytest.approx((scale, floor), rel=1e-6)
    chosen = EnsemblePredictor(ensemble.models, [Calibration(2.0, 0.01)])
    deviation = chosen.predict_with_uncertainty(dataset)[1]
    np.testing.assert_allclose(deviation, np.sqrt(4 * spread**2 + 0.0001), rtol=1e-12)


def test_the_calibration_knows_nothing_of_the_test_part(folder, data, tmp_path):
    dataset = Dataset.read(data)
    parts, values = part_of_rows(folder / "member-1"), dataset.values(MODULUS)
    tested = dataset.with_property(MODULUS, np.where(parts == "test", values + 5, values), "log10(GPa)")
    train_group(tested, {"members": 3}, tmp_path / "tested", split=SPLIT)
    assert all(same_weights(folder / name, tmp_path / "tested" / name) for name in MEMBERS)
    ours, theirs = ((f / "ensemble.json").read_text() for f in (folder, tmp_path / "tested"))
    assert ours == theirs
    before, after = summary(folder), summary(tmp_path / "tested")
    assert of_target(after)["test_mae"] > of_target(before)["test_mae"] + 4
    assert of_target(after)["coverage_95"] < of_target(before)["coverage_95"]
    assert of_target(after)["mean_deviation"] == of_target(before)["mean_deviation"]


def test_the_calibration_follows_the_validation_part(folder, data, tmp_path):
    dataset = Dataset.read(data)
    parts, values = part_of_rows(folder / "member-1"), dataset.values(MODULUS)
    worse = np.where(parts == "validation", values + 5, values)
    train_group(
        dataset.with_property(MODULUS, worse, "log10(GPa)"), {"members": 3}, tmp_path / "run", split=SPLIT
    )
    assert (
        of_target(summary(tmp_path / "run"))["mean_deviation"]
        > of_target(summary(folder))["mean_deviation"] + 3
    )


def test_the_summary_has_errors_coverage_and_confidence(folder):
    found = summary(folder)
    header, rows = table(folder / "test_predictions.csv")
    assert header == ["material_id", MODULUS, f"{MODULUS}_predicted", f"{MODULUS}_std"]
    truth, mean, deviation = np.array([row[1:] for row in rows], float).T
    ratio = np.abs(truth - mean) / deviation
    assert found["n_test"] == len(rows) == 18
    assert of_target(found)["test_mae"] == pytest.approx(np.abs(truth - mean).mean(), rel=1e-5)
    assert of_target(found)["coverage_68"] == pytest.approx(
        (ratio <= stats.norm.ppf((1 + 0.6827) / 2)).mean()
    )
    assert of_target(found)["coverage_95"] == pytest.approx(
        (ratio <= stats.norm.ppf((1 + 0.9545) / 2)).mean()
    )
    assert of_target(found)["mean_deviation"] == pytest.approx(deviation.mean(), rel=1e-5)
    assert {"coverage_68_uncalibrated", "coverage_95_uncalibrated"} < set(of_target(found))
    assert (folder / f"reliability_{MODULUS}.png").is_file()
    assert (folder / f"parity_{MODULUS}.png").is_file()
    errors = np.array([of_target(summary(folder / name))["test_mae"] for name in MEMBERS])
    single = found["single_model"]
    assert (single["n_runs"], of_target(single)["test_mae"]) == (3, pytest.approx(errors.mean()))
    low, high = stats.t.interval(0.95, 2, errors.mean(), stats.sem(errors))
    assert of_target(single)["test_mae_confidence"] == pytest.approx((high - low) / 2, rel=1e-6)


def test_several_targets_with_missing_values(tmp_path, capsys):
    names = ["bulk_modulus", "shear_modulus"]
    dataset, _ = with_gaps(moduli(), names)
    dataset.write(tmp_path / "data.parquet")
    words = ["--target", "bulk_modulus:log10", "--target", "shear_modulus", "--members", 2, "--split", SPLIT]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words, *TINY_OPTIONS, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    found, lines = summary(tmp_path / "run"), said.out.splitlines()
    header, rows = table(tmp_path / "run" / "test_predictions.csv")
    assert header[1:] == [f"{name}{end}" for name in names for end in ("", "_predicted", "_std")]
    for k, name in enumerate(names):
        figures, single = found["targets"][name], found["single_model"]["targets"][name]
        known = np.array([row[1 + 3 * k : 4 + 3 * k] for row in rows if row[1 + 3 * k]], float)
        assert figures["test_mae"] == pytest.approx(np.abs(known[:, 0] - known[:, 1]).mean(), rel=1e-5)
        truth, mean, deviation = known.T
        if name == "bulk_modulus":  # on the scale that it is learned on
            truth, deviation, mean = np.log10(truth), deviation / (mean * np.log(10)), np.log10(mean)
        assert figures["coverage_68"] == pytest.approx((np.abs(truth - mean) <= deviation).mean(), abs=1e-3)
        assert (tmp_path / "run" / f"reliability_{name}.png").is_file()
        assert f"  test MAE            {figures['test_mae']:.4f} GPa" in lines
        mean = f"{single['test_mae']:.4f} ± {single['test_mae_confidence']:.4f}"
        assert f"  of a single model   {mean} GPa (mean ± 95 % confidence)" in lines
        assert (
            f"  within 1 deviation  {figures['coverage_68']:.1%} of test crystals (68.3 % expected)" in lines
        )
    mean, deviation = load_model(tmp_path / "run").predict_with_uncertainty(dataset)
    assert mean.shape == deviation.shape == (60, 2)


def test_a_target_without_test_values_has_no_figures(tmp_path):
    dataset = moduli().with_property("part", (["train"] * 3 + ["val", "test"]) * 12)
    tested = np.array(dataset.labels("part")) == "test"
    dataset = dataset.with_property("x", np.where(tested, np.nan, dataset.values(MODULUS)))
    found = train_group(
        dataset, {"members": 2}, tmp_path / "run", ["x", MODULUS], split_column="part"
    )  # fmt: skip
    figures = found["targets"]["x"]
    assert (figures["n_known"], figures["n_calibration"]) == (0, 12)
    assert figures["test_mae"] is figures["coverage_68"] is figures["mean_deviation"] is None
    assert found["targets"][MODULUS]["test_mae"] > 0
    assert found["single_model"]["targets"]["x"]["test_mae"] is None


def test_classes_have_the_spread_of_their_probability(tmp_path, capsys):
    dataset = moduli()
    stiff = dataset.with_property("stiff", dataset.values("bulk_modulus") > 100)
    stiff.write(tmp_path / "data.parquet")
    words = ["--target", "stiff", "--task", "classification", "--members", 3, "--split", SPLIT, *TINY_OPTIONS]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    mean, deviation = load_model(tmp_path / "run").predict_with_uncertainty(stiff)
    members = member_predictions(tmp_path / "run", stiff)
    np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, members.std(axis=0, ddof=1), rtol=1e-12)
    found = summary(tmp_path / "run")
    truth, predicted, _ = np.array(
        [row[1:] for row in table(tmp_path / "run/test_predictions.csv")[1]], float
    ).T
    better = predicted[truth == 1][:, None] > predicted[truth == 0]
    assert of_target(found)["test_auc"] == pytest.approx(better.mean())
    assert of_target(found)["test_accuracy"] == pytest.approx(((predicted > 0.5) == truth).mean())
    assert f"test AUC            {of_target(found)['test_auc']:.4f}\n" in said.out
    assert "MAE" not in said.out
    assert (tmp_path / "run" / "roc.png").is_file()
    assert not list((tmp_path / "run").glob("reliability*.png"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_command_predicts_mean_and_deviation(suffix, folder, data, tmp_path, capsys):
    said = Said(capsys, "predict", folder, data, "-o", tmp_path / f"out.{suffix}")
    assert said.status == 0, said.err
    if suffix == "csv":
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        import pyarrow.parquet as pq

        rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert list(rows[0]) == ["material_id", MODULUS, f"{MODULUS}_std", "novelty", "unseen_elements"]
    mean, deviation = load_model(folder).predict_with_uncertainty(Dataset.read(data))
    np.testing.assert_allclose([float(row[MODULUS]) for row in rows], mean, rtol=1e-5)
    np.testing.assert_allclose([float(row[f"{MODULUS}_std"]) for row in rows], deviation, rtol=1e-5)


def test_what_cannot_be_trained_leaves_no_folder(tmp_path):
    with pytest.raises(CrystalliteError, match="at least 2 members"):
        start(moduli(), {"members": 1}, tmp_path / "run")
    with pytest.raises(CrystalliteError, match="calibrated on the validation set"):
        start(moduli(), {"members": 2}, tmp_path / "run", split="80/0/20")
    assert not (tmp_path / "run").exists()


def test_an_unfinished_ensemble_says_so(tmp_path):
    folder = start(moduli(), {"members": 2}, tmp_path / "run")
    with pytest.raises(CrystalliteError, match="several runs"):
        load_model(folder)
