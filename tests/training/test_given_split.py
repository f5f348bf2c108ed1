"""A split whose caller names the crystals of each set, by ids or by row numbers."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import MODULUS, TINY, moduli

import crystallite
from crystallite.errors import CrystalliteError
from crystallite.materials.splits import given_split
from crystallite.training.verification import verify

IDS = ["a", "b", "c", "d"]


def test_ids_and_row_numbers_mean_the_same():
    split = given_split({"train": ["d", "a"], "val": ["b"], "test": ["c"]}, IDS)
    assert [part.tolist() for part in split] == [[3, 0], [1], [2]]
    again = given_split({"train": np.array([3, 0]), "validation": (1,), "test": [2]}, IDS)
    assert [part.tolist() for part in again] == [part.tolist() for part in split]
    assert [part.tolist() for part in given_split({"train": [0], "test": []}, IDS)] == [[0], [], []]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["a", "x"]}, "train names x, not in the dataset"),
        ({"train": ["a"], "test": ["a"]}, "a appears twice"),
        ({"train": [0, 0]}, "a appears twice"),
        ({"train": [4]}, "row numbers beyond the 4 crystals"),
        ({"train": [-1]}, "row numbers beyond the 4 crystals"),
        ({"train": [0.5]}, "ids or of row numbers"),
        ({"train": [[0]]}, "ids or of row numbers"),
        ({"train": [True, False, True, True]}, "ids or of row numbers"),
        ({"holdout": [1]}, "'holdout' is none of train, validation and test"),
    ],
)
def test_what_is_no_split_is_named(parts, message):
    with pytest.raises(CrystalliteError, match=message):
        given_split(parts, IDS)


def test_a_run_keeps_it(tmp_path):
    data = moduli(60)
    data.write(tmp_path / "data.parquet")
    parts = {"train": data.ids[:40], "validation": data.ids[40:50], "test": data.ids[50:]}
    run = crystallite.train(
        tmp_path / "data.parquet", MODULUS, split=parts, out=tmp_path / "run", progress=False, **TINY
    )
    rows = (tmp_path / "run" / "split.csv").read_text().splitlines()[1:]
    expected = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    assert rows == [f"{name},{part}" for name, part in zip(data.ids, expected, strict=True)]
    assert run.summary["n_test"] == 10
    assert verify(run.folder, progress=False).same


def test_repeated_materials_are_left_out_of_training(tmp_path):
    data = moduli(30)
    twice = crystallite.Dataset.from_crystals(
        [*data, data.crystal(0)], [*data.ids, "again"], {MODULUS: [*data.values(MODULUS), 2.0]}
    )
    parts = {"train": [*data.ids[1:20], "again"], "test": [data.ids[0], *data.ids[20:]]}
    with pytest.warns(UserWarning, match="split: 1 training or validation crystals repeat"):
        run = crystallite.train(twice, MODULUS, split=parts, out=tmp_path / "run", progress=False, **TINY)
    assert (run.summary["n_train"], run.summary["n_test"]) == (19, 11)


def test_several_runs_take_no_given_split(tmp_path):
    with pytest.raises(CrystalliteError, match="take their split as text"):
        crystallite.train_ensemble(
            moduli(30), MODULUS, 2, split={"train": [0]}, out=tmp_path / "run", progress=False, **TINY
        )
