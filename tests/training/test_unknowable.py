"""What cannot be known is said: sets too small to split, a single value, predictions that are not finite."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import ENERGY, energies, train

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError
from crystallite.models.checkpoint import TrainedModel
from crystallite.models.file_predictions import predict_files
from crystallite.models.predictor import Predictor


def of_one_material(n_crystals: int) -> Dataset:
    """One crystal under several ids, with values of their own."""
    one = energies(1)
    again = one.select([0] * n_crystals)
    ids = [f"x{k}" for k in range(n_crystals)]
    return Dataset.from_arrays(again.arrays, ids, {ENERGY: [float(k) for k in range(n_crystals)]})


def with_values(n_crystals: int, values: list[float]) -> Dataset:
    return energies(n_crystals).with_property(ENERGY, np.array(values), "eV/atom")


CASES = {
    "five crystals": (
        energies(5),
        "regression",
        "the validation and test sets empty: the last epoch is kept",
    ),
    "one material": (
        of_one_material(20),
        "regression",
        r"\(1 materials\) leaves the validation and test sets empty",
    ),
    "one value": (
        with_values(30, [3.0] * 30),
        "regression",
        "all training values are 3, so there is nothing",
    ),
    "one class": (
        with_values(30, [1.0] * 30),
        "classification",
        "all training values are 1, so there is nothing",
    ),
    "ten crystals": (
        energies(10),
        "regression",
        "1 test crystals have a value, so the test error is a rough guess",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_run_says_what_it_cannot_know(case: str, tmp_path: Path) -> None:
    data, task, said = CASES[case]
    with pytest.warns(UserWarning, match=said):
        train(data, tmp_path / "run", task=task, epochs=1, n_convolutions=1)


def test_parts_of_one_class_have_no_auc(tmp_path: Path) -> None:
    data = with_values(30, [float(k % 2) for k in range(30)])
    labels = ["train"] * 20 + ["validation", "test"] * 5
    ids, values = data.ids, data.values(ENERGY)
    data = Dataset.from_arrays(data.arrays, ids, {ENERGY: list(values), "part": labels})
    with pytest.warns(UserWarning, match="5 test crystals are all of class 1, so the test AUC is unknown"):
        train(data, tmp_path / "run", task="classification", split_column="part", epochs=1)


def test_enough_of_everything_needs_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(energies(60), tmp_path / "run", epochs=1, n_convolutions=1)


# ---- predictions that are not finite


@pytest.fixture
def overflowing(energy_model: TrainedModel) -> Predictor:
    """A model whose weights are finite and whose predictions are not."""
    with torch.no_grad():
        for layer in (*energy_model.network.hidden, energy_model.network.output):
            layer.weight.fill_(1e38)
    return Predictor(energy_model)


def test_no_number_is_no_prediction(overflowing: Predictor, tmp_path: Path) -> None:
    data = energies(3)
    with pytest.raises(CrystalError, match="crystal 0: the model's prediction is not a finite number"):
        overflowing.predict(data)
    data.write(tmp_path / "three.parquet")
    report = predict_files([overflowing], [str(tmp_path / "three.parquet")], tmp_path / "x.csv")
    assert (report.n_used, [name for name, _ in report.bad]) == (0, data.ids)
    assert (tmp_path / "x.csv").read_text() == f"material_id,{ENERGY}\n"
