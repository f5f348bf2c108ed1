"""Training: what a run leaves behind, that nothing leaks, and that a seed settles every bit."""

from __future__ import annotations

import tomllib
import warnings

import matplotlib.image
import numpy as np
import pytest
from training_runs import (
    ENERGY,
    command,
    energies,
    metrics,
    one_thread,  # noqa: F401
    parts_of,
    same_weights,
    small_options,
    strict_json,
    summary,
    table,
    train,
)

import crystallite
from crystallite.checkpoint import load_model
from crystallite.crystal import Crystal
from crystallite.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.graph_store import dataset_graphs
from crystallite.splits import material_groups, random_split


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training on 300 crystals, long enough to learn something."""
    return train(energies(), tmp_path_factory.mktemp("runs") / "energy", epochs=10)


# ---- the run folder


def test_it_learns(run):
    losses = [epoch["loss"] for epoch in metrics(run.folder)]
    assert losses[-1] < 0.7 * losses[0]
    assert run.summary["test_mae"] < 0.8 * run.summary["baseline_mae"]


def test_metrics_have_one_line_an_epoch(run):
    epochs = metrics(run.folder)
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 11))
    assert all(
        {"loss", "learning_rate", "validation_error", "validation_mae"} <= epoch.keys() for epoch in epochs
    )


def test_the_kept_model_is_the_best_epoch(run):
    errors = [epoch["validation_error"] for epoch in metrics(run.folder)]
    assert run.summary["best_epoch"] == 1 + int(np.argmin(errors))
    assert run.summary["validation_error"] == min(errors)
    dataset = energies()
    rows = [dataset.ids.index(name) for name in parts_of(run.folder)["validation"]]
    predicted = run.predict(dataset.select(rows))
    error = np.abs(predicted - dataset.values(ENERGY)[rows]).mean()
    assert error == pytest.approx(run.summary["validation_mae"], rel=1e-5)


def test_test_predictions_come_from_the_kept_model(run):
    header, rows = table(run.folder / "test_predictions.csv")
    assert header == ["material_id", ENERGY, f"{ENERGY}_predicted"]
    dataset = energies()
    selected = dataset.select([dataset.ids.index(row[0]) for row in rows])
    assert {row[0] for row in rows} == set(parts_of(run.folder)["test"])
    np.testing.assert_allclose([float(row[1]) for row in rows], selected.values(ENERGY), rtol=1e-6)
    reloaded = crystallite.load_predictor(run.folder / "best.safetensors").predict(selected)
    np.testing.assert_allclose([float(row[2]) for row in rows], reloaded, rtol=1e-5, atol=1e-6)


def test_summary_agrees_with_the_table(run):
    found = summary(run.folder)
    assert found == run.summary
    rows = np.array([row[1:] for row in table(run.folder / "test_predictions.csv")[1]], float)
    assert found["test_mae"] == pytest.approx(np.abs(rows[:, 0] - rows[:, 1]).mean(), rel=1e-5)
    dataset, parts = energies(), parts_of(run.folder)
    values = dict(zip(dataset.ids, dataset.values(ENERGY), strict=True))
    mean = np.mean([values[name] for name in parts["train"]])
    assert found["baseline_mae"] == pytest.approx(
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
    model = load_model(run.folder / "best.safetensors")
    assert model.targets.units == ("eV/atom",)
    assert [epoch["epoch"] for epoch in model.info["history"]] == list(
        range(1, run.summary["best_epoch"] + 1)
    )
    assert (run.folder / "last.safetensors").is_file()


def test_only_finished_files_are_left(run):
    assert {path.name for path in run.folder.iterdir()} == {
        *("config.toml", "metrics.jsonl", "best.safetensors", "last.safetensors", "split.csv"),
        *("test_predictions.csv", "summary.json", "parity.png", "learning_curve.png"),
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


# ---- no leaks


def disguised(crystal, seed):
    """The same crystal: doubled along one axis, turned, its origin moved and its atoms shuffled."""
    rng = np.random.default_rng(seed)
    axis, n_atoms = seed % 3, len(crystal)
    shifts = np.repeat(np.eye(3)[axis][None] * np.arange(2)[:, None], n_atoms, axis=0)
    coords = (np.tile(crystal.frac_coords, (2, 1)) + shifts) / np.where(np.arange(3) == axis, 2, 1)
    lattice = crystal.lattice * np.where(np.arange(3) == axis, 2, 1)[:, None]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(2 * n_atoms)
    moved = (coords + rng.random(3))[order]
    return Crystal(np.tile(crystal.numbers, 2)[order], lattice @ turn, moved)


@pytest.fixture(scope="module")
def repeating():
    """120 materials, 40 of them a second time in disguise and 20 ids a second time; and who repeats whom."""
    plain = energies(120)
    crystals = [*plain, *(disguised(plain.crystal(row), row) for row in range(40)), *list(plain)[60:80]]
    ids = [*plain.ids, *(f"copy-{row}" for row in range(40)), *plain.ids[80:100]]
    values = np.random.default_rng(0).normal(size=len(ids))
    same = [(row, 120 + row) for row in range(40)]
    same += [(60 + row, 160 + row) for row in range(20)] + [(80 + row, 160 + row) for row in range(20)]
    return Dataset.from_crystals(crystals, ids, {"x": values}), same


def part_of_rows(folder):
    return [part for _, part in table(folder / "split.csv")[1]]


def test_repetitions_never_straddle_a_split(repeating, tmp_path):
    dataset, same = repeating
    for seed in range(2):
        parts = part_of_rows(train(dataset, tmp_path / str(seed), "x", epochs=1, seed=seed).folder)
        assert all(parts[a] == parts[b] for a, b in same)
        assert {*parts} == {"train", "validation", "test"}
    groups = material_groups(dataset.ids, dataset_graphs(dataset, crystallite.GraphConfig()))
    for seed in range(50):
        split = random_split(groups, (50, 25, 25), seed)
        assert sorted(np.concatenate(split)) == list(range(len(dataset)))
        placed = [set(groups[part]) for part in split]
        assert not placed[0] & placed[1]
        assert not (placed[0] | placed[1]) & placed[2]


def test_different_materials_stay_apart(formation):
    groups = material_groups(formation.ids, dataset_graphs(formation, crystallite.GraphConfig()))
    assert len(set(groups)) > 0.98 * len(formation)


def test_a_split_column_cannot_leak_either(repeating, tmp_path):
    dataset, same = repeating
    labels = np.random.default_rng(1).choice(["train", "val", "test", "spare"], len(dataset))
    with pytest.warns(UserWarning, match="repeat materials"):
        run = train(
            dataset.with_property("part", labels), tmp_path / "run", "x", split_column="part", epochs=1
        )
    parts = part_of_rows(run.folder)
    assert all(len({parts[a], parts[b]} - {""}) < 2 for a, b in same)
    tested = [part == "test" for part in parts]
    assert tested == [label == "test" for label in labels]  # what is tested is what the column says


# ---- the same again


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A training to be repeated, and its dataset as a file."""
    folder = tmp_path_factory.mktemp("repeated")
    energies(150).write(folder / "energies.parquet")
    return train(folder / "energies.parquet", folder / "first")


def test_only_training_values_set_the_scale(first, tmp_path):
    dataset, parts = Dataset.read(first.folder.parent / "energies.parquet"), parts_of(first.folder)
    values = dataset.values(ENERGY)
    tested = np.isin(dataset.ids, parts["test"])
    changed = dataset.with_property(ENERGY, np.where(tested, 1000 - values, values), "eV/atom")
    other = train(changed, tmp_path / "other")
    assert parts_of(other.folder) == parts
    assert same_weights(first.folder, other.folder)
    assert other.model.targets == first.model.targets
    assert other.summary["test_mae"] > 100 * first.summary["test_mae"]
    known = values[np.isin(dataset.ids, parts["train"])]
    assert first.model.targets.mean == pytest.approx([known.mean()])
    assert first.model.targets.std == pytest.approx([known.std()])


def test_the_same_seed_gives_the_same_bits(first, tmp_path, monkeypatch):
    data = first.folder.parent / "energies.parquet"
    assert same_weights(first.folder, train(data, tmp_path / "warm").folder)
    monkeypatch.setenv("CRYSTALLITE_CACHE", str(tmp_path / "cache"))
    assert same_weights(first.folder, train(data, tmp_path / "cold", workers=3).folder)
    assert same_weights(first.folder, train(Dataset.read(data), tmp_path / "memory").folder)


def test_the_command_gives_the_same_bits(first, tmp_path):
    words = ["train", "energies.parquet", "--target", ENERGY, *small_options(), "--out", tmp_path / "run"]
    finished = command(*words, cwd=first.folder.parent)
    assert finished.status == 0, finished.err
    assert same_weights(first.folder, tmp_path / "run")
    assert summary(tmp_path / "run")["test_mae"] == first.summary["test_mae"]
    assert f"test MAE            {first.summary['test_mae']:.4f} eV/atom" in finished.out


def test_another_seed_gives_another_model(first, tmp_path):
    data = first.folder.parent / "energies.parquet"
    other = train(data, tmp_path / "other", seed=1)
    assert not same_weights(first.folder, other.folder, ("best",))
    assert parts_of(other.folder) != parts_of(first.folder)


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(energies(40), tmp_path / "run", epochs=1)
    assert torch.equal(torch.rand(3), expected)


# ---- classification, several targets, missing values


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
    assert run.summary["test_auc"] > 0.8
    assert run.summary["n_train"] + run.summary["n_validation"] + run.summary["n_test"] == 285
    assert (run.folder / "roc.png").is_file()
    probabilities = run.predict(stiff)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert len(set(probabilities)) > 0.9 * len(stiff)
    header, rows = table(run.folder / "test_predictions.csv")
    assert header == ["material_id", "stiff", "stiff_predicted"]
    truth, predicted = np.array([row[1:] for row in rows], float).T
    assert run.summary["test_accuracy"] == pytest.approx(((predicted > 0.5) == (truth == 1)).mean())
    outranked = predicted[truth == 1][:, None] - predicted[truth == 0]
    assert run.summary["test_auc"] == pytest.approx((outranked > 0).mean() + (outranked == 0).mean() / 2)


def test_truth_values_are_classes_too(stiff, tmp_path):
    columns = {"hard": stiff.values("bulk_modulus") > 100}
    dataset = Dataset.from_arrays(stiff.arrays, stiff.ids, columns).select(range(80))
    run = train(dataset, tmp_path / "run", "hard", task="classification", epochs=1)
    assert 0 <= run.summary["test_accuracy"] <= 1


def test_several_targets_with_missing_values(elastic, tmp_path):
    dataset = elastic.select(range(200))
    names = ["bulk_modulus", "shear_modulus"]
    missing = np.random.default_rng(0).random((200, 2)) < 0.3
    for name, hidden in zip(names, missing.T, strict=True):
        dataset = dataset.with_property(name, np.where(hidden, np.nan, dataset.values(name)), "GPa")
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
    assert set(found["validation_mae"]) == set(names)


def test_missing_values_do_not_move_the_scale(elastic, tmp_path):
    dataset = elastic.select(range(60))
    values = np.where(np.arange(60) % 3 == 0, np.nan, dataset.values("poisson_ratio"))
    run = train(dataset.with_property("x", values), tmp_path / "run", "x", epochs=1)
    known = values[np.isin(dataset.ids, parts_of(run.folder)["train"])]
    assert np.isfinite(known).all()
    assert run.model.targets.mean == pytest.approx([known.mean()])


# ---- splits


def sizes(run):
    return tuple(len(part) for part in parts_of(run.folder).values())


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("60/20/20", (60, 20, 20, 0)),
        ("0.5/0.2/0.1", (50, 20, 10, 20)),
        ("30/7/5", (30, 7, 5, 58)),
    ],
)
def test_splits_by_share_or_size(split, expected, tmp_path):
    assert sizes(train(energies(100), tmp_path / "run", split=split, epochs=1)) == expected


def test_split_by_a_column(tmp_path):
    dataset = energies(90)
    labels = (["train"] * 6 + ["Validation", "test", None]) * 10
    run = train(dataset.with_property("part", labels), tmp_path / "run", split_column="part", epochs=1)
    parts = parts_of(run.folder)
    assert parts["train"] == [
        name for name, label in zip(dataset.ids, labels, strict=True) if label == "train"
    ]
    assert parts["validation"] == dataset.ids[6::9]
    assert parts["test"] == dataset.ids[7::9]


@pytest.mark.parametrize("split", ["80/10", "a/b/c", "0/50/50", "90/20/20", "nan/1/1", "inf/0/0", "-1/50/51"])
def test_impossible_splits_are_refused(split, tmp_path):
    with pytest.raises(CrystalliteError, match=r"split|shares"):
        train(energies(40), tmp_path / "run", split=split)
    assert not (tmp_path / "run").exists()


# ---- parts that are empty or say nothing


def test_without_a_validation_part_the_last_epoch_is_kept(tmp_path):
    run = train(energies(60), tmp_path / "run", split="80/0/20")
    found = summary(run.folder)
    assert (found["best_epoch"], found["n_validation"]) == (3, 0)
    assert found["validation_error"] is None
    assert found["test_mae"] > 0
    assert [epoch["validation_error"] for epoch in metrics(run.folder)] == [None] * 3
    assert (run.folder / "learning_curve.png").is_file()


@pytest.mark.parametrize("split", ["80/20/0", "100/0/0"])
def test_without_a_test_part_the_errors_are_null(split, tmp_path):
    run = train(energies(60), tmp_path / "run", split=split)
    found = summary(run.folder)
    assert (found["n_test"], found["test_mae"], found["baseline_mae"]) == (0, None, None)
    assert table(run.folder / "test_predictions.csv")[1] == []
    assert not (run.folder / "parity.png").exists()
    assert np.isfinite(run.predict(energies(5))).all()


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
    assert [epoch["validation_auc"] for epoch in metrics(run.folder)] == [None] * 3
    assert summary(run.folder)["best_epoch"] == 3


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
        ({"split": "1/20/19"}, "at least 2 needed"),
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
