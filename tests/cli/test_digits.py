"""Tables hold every digit: what is read from them is what was computed, bit for bit."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from grouped_runs import Said, moduli, train_group
from hypothesis import given
from hypothesis import strategies as st
from training_runs import energies, of_target, one_thread, summary, train  # noqa: F401

from crystallite.evaluation.metrics import mean_absolute_error
from crystallite.evaluation.results import in_digits
from crystallite.materials.difference import compare, write_difference
from crystallite.runs.predictions import read_predictions, write_predictions
from crystallite.sources.reading.tables import read_table

LARGE = "large"
numbers = st.floats(allow_nan=True, allow_infinity=False, width=64)


def with_large_values(n_crystals):
    """Energies on top of a million, where 7 digits are not enough to tell one crystal from another."""
    dataset = energies(n_crystals)
    return dataset.with_property(LARGE, 1e6 + 0.01 * np.arange(n_crystals), "eV")


def columns(path):
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    return {name: [line[k] for line in lines] for k, name in enumerate(head)}


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_a_table_reads_back_equal(values):
    truth, predicted = np.array(values).T[:, :, None]
    ids = [f"{k:05}" for k in range(len(values))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_predictions(path, ids, ["y"], truth, predicted)
        table = read_predictions(path)
    assert table.ids == ids
    np.testing.assert_array_equal(table.truth, truth)
    np.testing.assert_array_equal(table.predicted, predicted)


def test_a_target_a_little_above_a_million(tmp_path, capsys):
    dataset = with_large_values(40)
    run = train(dataset, tmp_path / "run", LARGE, epochs=1, split="20/10/10")
    table = read_predictions(run.folder / "test_predictions.csv")
    tested = dataset.select(np.isin(dataset.ids, table.ids))
    truth = dict(zip(tested.ids, tested.values(LARGE), strict=True))
    assert table.truth[:, 0].tolist() == [truth[name] for name in table.ids]
    assert of_target(run.summary)["test_mae"] == mean_absolute_error(table.truth[:, 0], table.predicted[:, 0])
    dataset.write(tmp_path / "data.parquet")
    for name in ("table.csv", "table.parquet"):
        assert (
            Said(capsys, "predict", run.folder, tmp_path / "data.parquet", "-o", tmp_path / name).status == 0
        )
    exact = pq.read_table(tmp_path / "table.parquet")[LARGE].to_pylist()
    assert [float(cell) for cell in columns(tmp_path / "table.csv")[LARGE]] == exact
    assert len(set(exact)) > 30


def test_pooled_errors_are_those_of_unrounded_predictions(tmp_path):
    """Errors of a spread of 0.1 on a million: from rounded tables they would be off by a twentieth."""
    dataset = with_large_values(30)
    found = train_group(dataset, {"folds": 3}, tmp_path / "run", LARGE)
    folds = [summary(tmp_path / "run" / f"fold-{k}") for k in (1, 2, 3)]
    sizes = [fold["n_test"] for fold in folds]
    pooled = np.average([of_target(fold)["test_mae"] for fold in folds], weights=sizes)
    assert of_target(found)["pooled_test_mae"] == pytest.approx(pooled, rel=1e-12)


def test_learning_curves(tmp_path):
    found = train_group(moduli(40), {"sizes": [10, 20]}, tmp_path / "sizes", split="20/10/10")
    table = columns(tmp_path / "sizes" / "learning_curve.csv")
    assert table["n_train"] == ["10", "20"]
    assert [float(error) for error in table["test_mae"]] == of_target(found)["test_mae"]


def test_differences(tmp_path):
    old = with_large_values(5)
    new = old.with_property(LARGE, old.values(LARGE) + 0.001, "eV")
    write_difference(tmp_path, compare(old, new, properties={LARGE: LARGE}))
    table = columns(tmp_path / "crystals.csv")
    assert [float(cell) for cell in table[f"{LARGE} old"]] == old.values(LARGE).tolist()
    assert [float(cell) for cell in table[f"{LARGE} new"]] == new.values(LARGE).tolist()
    change = new.values(LARGE) - old.values(LARGE)
    assert float(columns(tmp_path / "properties.csv")["mae"][0]) == np.abs(change).mean()


def test_a_table_of_properties_is_read_to_the_last_bit(tmp_path):
    values = [0.1 + 0.2, 1e6 + 0.01, 1 / 3, 5e-324, -1.7976931348623157e308]
    lines = "".join(f"{k:03},{value!r}\n" for k, value in enumerate(values))
    (tmp_path / "t.csv").write_text(f"material_id,y\n{lines}")
    table = read_table(tmp_path / "t.csv")
    assert table["y"].to_pylist() == values
    assert table["material_id"].to_pylist() == ["000", "001", "002", "003", "004"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.09123, "0.0912"), (0, "0.0000"), (15.00001, "15.0000"), (2.3456e-6, "2.35e-06"), (-4e-5, "-4e-05")],
)
def test_small_numbers_keep_digits_on_the_screen(value, text):
    assert in_digits(value) == text
