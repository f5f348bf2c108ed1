"""Folds: every crystal is tested once, by a model that knows nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import MODULUS, TINY_OPTIONS, Said, moduli, part_of_rows, runs_of, start, train_group
from scipy import stats
from strategies import SUPERCELLS, in_cell, reordered, rotated, shifted
from training_runs import of_target, one_thread, summary, table, with_gaps  # noqa: F401

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.experiments import experiment as experiments
from crystallite.experiments.run_group import half_width, spread
from crystallite.materials.splits import fold_split
from crystallite.models.checkpoint import read_model

FOLDS = 4


@pytest.fixture(scope="module")
def planted():
    """60 materials, 15 of them again in other cells under other ids, 5 ids again; and each row's material."""
    rng, plain = np.random.default_rng(0), moduli()
    disguised = [
        rotated(shifted(reordered(in_cell(plain.crystal(row), cell), rng), rng), rng)
        for row, cell in zip(range(15), 5 * [*SUPERCELLS.values()][:3], strict=True)
    ]
    crystals = [*plain, *disguised, *list(plain)[30:35]]
    ids = [*plain.ids, *(f"copy-{row}" for row in range(15)), *plain.ids[40:45]]
    materials = np.array([*range(60), *range(15), *range(30, 35)])
    materials[40:45] = materials[75:80]  # one id: one material
    values = rng.normal(2, 0.3, len(ids))
    return Dataset.from_crystals(crystals, ids, {MODULUS: values}, {MODULUS: "log10(GPa)"}), materials


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "run"
    train_group(planted[0], {"folds": FOLDS}, path)
    return path


def test_every_crystal_is_tested_once_and_no_material_is_on_both_sides(planted, folder):
    dataset, materials = planted
    tested = np.zeros(len(dataset), int)
    for run in runs_of(folder):
        parts = part_of_rows(run)
        tested += parts == "test"
        held = [set(materials[parts == part]) for part in ("train", "validation", "test")]
        assert all(held)
        assert not held[0] & held[1]
        assert not (held[0] | held[1]) & held[2]
        assert sum(map(len, held)) == len(set(materials))
    assert len(runs_of(folder)) == FOLDS
    assert (tested == 1).all()
    header, rows = table(folder / "test_predictions.csv")
    assert header == ["material_id", MODULUS, f"{MODULUS}_predicted"]
    assert sorted(row[0] for row in rows) == sorted(dataset.ids)
    assert (folder / f"parity_{MODULUS}.png").is_file()


def test_every_fold_has_the_scale_of_its_own_training_set(planted, folder):
    values, scales = planted[0].values(MODULUS), set()
    for run in runs_of(folder):
        known = values[part_of_rows(run) == "train"]
        targets = read_model(run / "best.safetensors").targets
        assert targets.mean == pytest.approx([known.mean()], rel=1e-12)
        assert targets.std == pytest.approx([known.std()], rel=1e-12)
        scales.add(targets.mean)
    assert len(scales) == FOLDS


def test_the_summary_has_mean_and_confidence(folder):
    found, runs = summary(folder), [summary(run) for run in runs_of(folder)]
    errors = np.array([of_target(run)["test_mae"] for run in runs])
    assert (found["n_runs"], found["folds"], found["n_test"]) == (FOLDS, FOLDS, 80)
    assert of_target(found)["test_mae"] == pytest.approx(errors.mean())
    test_share = np.mean([run["n_test"] / run["n_train"] for run in runs])
    assert test_share == pytest.approx(0.5, rel=0.1)  # one of four folds is tested, two are trained on
    deviation = errors.std(ddof=1) * np.sqrt(1 / FOLDS + test_share)
    half = stats.t.ppf(0.975, FOLDS - 1) * deviation
    assert of_target(found)["test_mae_confidence"] == pytest.approx(half, rel=1e-6)
    truth, predicted = np.array([row[1:] for row in table(folder / "test_predictions.csv")[1]], float).T
    assert of_target(found)["pooled_test_mae"] == pytest.approx(np.abs(truth - predicted).mean(), rel=1e-5)


@pytest.mark.parametrize("n_values", [2, 3, 4, 5, 10, 30, 1000])
def test_the_confidence_is_students(n_values):
    values = np.random.default_rng(n_values).normal(size=n_values)
    low, high = stats.t.interval(0.95, n_values - 1, values.mean(), stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2, rel=1e-6)


def test_overlapping_training_sets_widen_the_confidence_interval():
    """By hand: variance of 1, 2, 3 is 1; (1/3 + 1/6) of it 0.5; t of 2 degrees of freedom 4.302653."""
    values = np.array([1.0, 2.0, 3.0])
    assert half_width(values, 1 / 6) == pytest.approx(4.302653 * np.sqrt(0.5), rel=1e-6)
    assert half_width(values) == pytest.approx(4.302653 * np.sqrt(1 / 3), rel=1e-6)
    runs = [
        {"targets": {"x": {"unit": "", "test_mae": value}}, "validation_error": value} for value in values
    ]
    corrected = spread(runs, 1 / 6)
    assert of_target(corrected)["test_mae_confidence"] == half_width(values, 1 / 6)
    assert corrected["validation_error_confidence"] == half_width(values, 1 / 6)
    assert of_target(spread(runs))["test_mae_confidence"] == half_width(values)


def test_what_some_runs_do_not_have_is_averaged_over_the_others():
    runs = [{"targets": {"x": {"unit": "", "test_auc": auc, "test_r2": None}}} for auc in (None, 0.5, 0.7)]
    assert of_target(spread(runs[:2])) == {
        "unit": "", "test_auc": 0.5, "test_auc_confidence": None, "test_r2": None, "test_r2_confidence": None
    }  # fmt: skip
    assert of_target(spread(runs))["test_auc"] == pytest.approx(0.6)


def test_several_targets_each_have_their_own(tmp_path, capsys):
    names = ["bulk_modulus", "shear_modulus"]
    dataset, missing = with_gaps(moduli(), names)
    dataset.write(tmp_path / "data.parquet")
    words = ["--target", "bulk_modulus:log10", "--target", "shear_modulus", "--folds", 3, *TINY_OPTIONS]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    header, rows = table(tmp_path / "run" / "test_predictions.csv")
    assert header == ["material_id", *(f"{name}{end}" for name in names for end in ("", "_predicted"))]
    known = {row[0]: (bool(row[1]), bool(row[3])) for row in rows}
    expected = dict(zip(dataset.ids, map(tuple, (~missing).tolist()), strict=True))
    assert known == {material: which for material, which in expected.items() if any(which)}
    found = summary(tmp_path / "run")
    for name in names:
        errors = [summary(run)["targets"][name]["test_mae"] for run in runs_of(tmp_path / "run")]
        assert found["targets"][name]["test_mae"] == pytest.approx(np.mean(errors))
        half = found["targets"][name]["test_mae_confidence"]
        assert f"  test MAE            {np.mean(errors):.4f} ± {half:.4f} GPa" in said.out.splitlines()
        assert (tmp_path / "run" / f"parity_{name}.png").is_file()


def test_classification(tmp_path, capsys):
    dataset = moduli(80)
    stiff = dataset.with_property("stiff", dataset.values("bulk_modulus") > 100)
    stiff.write(tmp_path / "data.parquet")
    words = ["--target", "stiff", "--task", "classification", "--folds", 3, *TINY_OPTIONS]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    areas = [of_target(summary(run))["test_auc"] for run in runs_of(tmp_path / "run")]
    assert of_target(summary(tmp_path / "run"))["test_auc"] == pytest.approx(np.mean(areas))
    assert f"test AUC            {np.mean(areas):.4f} ± " in said.out
    assert "MAE" not in said.out
    assert (tmp_path / "run" / "roc.png").is_file()


def test_the_command_says_what_came_out_also_when_resumed(tmp_path, capsys):
    moduli().write(tmp_path / "data.parquet")
    words = ["train", tmp_path / "data.parquet", "--target", MODULUS, "--folds", 3, *TINY_OPTIONS]
    said = Said(capsys, *words, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    found = summary(tmp_path / "run")
    first, second, *_, last = said.out.splitlines()
    assert first == f"{MODULUS}: 60 crystals tested in 3 folds (mean ± 95 % confidence)"
    of_all = of_target(found)
    figures = f"{of_all['test_mae']:.4f} ± {of_all['test_mae_confidence']:.4f}"
    assert second == f"  test MAE            {figures} log10(GPa)"
    assert last == f"Everything is in {tmp_path / 'run'}"
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("run/*/*")}
    assert Said(capsys, "train", "--resume", tmp_path / "run").out == said.out
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.parametrize(
    ("n_folds", "settings", "message"),
    [
        (61, {}, "no more than 60 materials"),
        (2, {}, "at least 3 folds"),
        (3, {"split_column": "part"}, "leave out --split and --split-column"),
        (3, {"split": "70/20/10"}, "leave out --split and --split-column"),
        (3, {"frozen": ("embeding",)}, "no part 'embeding'"),
        (3, {"target": f"{MODULUS}:log11"}, "TRANSFORM"),
        (3, {"target": "poisson_ratio:log10"}, "poisson_ratio: log10 needs positive values, 1 are not"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(n_folds, settings, message, tmp_path):
    dataset = moduli().with_property("part", ["train", "val", "test"] * 20)
    ratios = np.where(np.arange(60) == 7, 0, dataset.values("poisson_ratio"))
    dataset = dataset.with_property("poisson_ratio", ratios)
    with pytest.raises(CrystalliteError, match=message):
        start(dataset, {"folds": n_folds}, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_group_is_not_a_model(folder):
    from crystallite import load_model

    with pytest.raises(CrystalliteError, match="holds several runs"):
        load_model(folder)
    assert load_model(folder / "fold-1").columns == (MODULUS,)


def test_changed_data_is_an_error(tmp_path):
    moduli().write(tmp_path / "data.parquet")
    folder = start(tmp_path / "data.parquet", {"folds": 3}, tmp_path / "run")
    moduli(59).write(tmp_path / "data.parquet")
    with pytest.raises(CrystalliteError, match="have changed"):
        experiments.resume_group(folder, progress=False)
    assert runs_of(folder) == []


def test_folds_hold_whole_groups():
    groups = np.random.default_rng(0).integers(0, 40, 200)
    groups = np.unique(groups, return_inverse=True)[1]
    folds = [fold_split(groups, k, 5, seed=1) for k in range(1, 6)]
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(200))
    for split in folds:
        held = [set(groups[part]) for part in split]
        assert not held[0] & held[1]
        assert not (held[0] | held[1]) & held[2]
        assert sorted(np.concatenate(split)) == list(range(200))
