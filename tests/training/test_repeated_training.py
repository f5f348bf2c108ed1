"""The same training run again: a seed settles every bit, and nothing but training values counts."""

from __future__ import annotations

import numpy as np
import pytest
from training_runs import (
    ENERGY,
    command,
    energies,
    of_target,
    one_thread,  # noqa: F401
    parts_of,
    same_weights,
    small_options,
    summary,
    train,
)

from crystallite.datasets.dataset import Dataset


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A training run to be repeated, and its dataset as a file."""
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
    assert of_target(other.summary)["test_mae"] > 100 * of_target(first.summary)["test_mae"]
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
    assert of_target(summary(tmp_path / "run"))["test_mae"] == of_target(first.summary)["test_mae"]
    assert f"test MAE            {of_target(first.summary)['test_mae']:.4f} eV/atom" in finished.out


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
