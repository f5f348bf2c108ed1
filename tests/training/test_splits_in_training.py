"""Splits of a training run: sizes, columns, parts that are empty, and that no material is in two parts."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import Said
from strategies import disguised
from training_runs import (
    energies,
    metrics,
    of_target,
    one_thread,  # noqa: F401
    parts_of,
    summary,
    table,
    train,
)

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.graphs.store import dataset_graphs
from crystallite.materials.groups import material_groups
from crystallite.materials.splits import random_split


def sizes(run):
    return tuple(len(part) for part in parts_of(run.folder).values())


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("60/20/20", (60, 20, 20, 0)),
        ("0.5/0.2/0.1", (50, 20, 10, 20)),
        ("30/7/5 crystals", (30, 7, 5, 58)),
    ],
)
def test_splits_by_fraction_or_size(split, expected, tmp_path):
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
    with pytest.raises(CrystalliteError, match="split"):
        train(energies(40), tmp_path / "run", split=split)
    assert not (tmp_path / "run").exists()


# ---- parts that are empty


def test_without_a_validation_part_the_last_epoch_is_kept(tmp_path):
    run = train(energies(60), tmp_path / "run", split="80/0/20")
    found = summary(run.folder)
    assert (found["best_epoch"], found["n_validation"]) == (3, 0)
    assert found["validation_error"] is None
    assert of_target(found)["test_mae"] > 0
    assert [epoch["validation_error"] for epoch in metrics(run.folder)] == [None] * 3
    assert (run.folder / "learning_curve.png").is_file()


@pytest.mark.parametrize("split", ["80/20/0", "100/0/0"])
def test_without_a_test_part_the_errors_are_null(split, tmp_path, capsys):
    energies(60).write(tmp_path / "data.parquet")
    run = train(tmp_path / "data.parquet", tmp_path / "run", split=split)
    found = summary(run.folder)
    figures = {name: value for name, value in of_target(found).items() if name not in ("unit", "n_known")}
    validated = figures.pop("validation_mae")
    assert (found["n_test"], of_target(found)["n_known"], {*figures.values()}) == (0, 0, {None})
    assert (validated is None) == (split == "100/0/0")
    assert table(run.folder / "test_predictions.csv")[1] == []
    assert not (run.folder / "parity.png").exists()
    assert np.isfinite(run.predict(energies(5))).all()
    said = Said(capsys, "train", "--resume", run.folder)
    assert "  test MAE            unknown\n" in said.out
    assert ("the last is kept" in said.out) == (split == "100/0/0")


# ---- no leaks


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
    labels = np.random.default_rng(1).choice(["train", "val", "test", "unused"], len(dataset))
    with pytest.warns(UserWarning, match="repeat materials"):
        run = train(
            dataset.with_property("part", labels), tmp_path / "run", "x", split_column="part", epochs=1
        )
    parts = part_of_rows(run.folder)
    assert all(len({parts[a], parts[b]} - {""}) < 2 for a, b in same)
    tested = [part == "test" for part in parts]
    assert tested == [label == "test" for label in labels]  # what is tested is what the column says
