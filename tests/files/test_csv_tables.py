"""No table is a program: what a spreadsheet would run is quoted, and read back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from grouped_runs import TINY, moduli
from hypothesis import given
from hypothesis import strategies as st

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.files.csv_tables import meant, shown
from crystallite.materials.audit import read_split
from crystallite.runs.predictions import read_predictions
from crystallite.sources.web.id_lists import read_id_map, read_ids
from crystallite.training.train import resume

ODD = ["=cmd|calc!A1", "+1+1", "-x", "@sum(a1)", "\ttab", "'=quoted", "''@twice"]
PLAIN = ["mp-1", "-1", "+2.5e-3", "-.5", "x=1", "'quoted", "", "'", "-nan"]


def test_formulas_alone_are_quoted():
    assert [shown(text) for text in ODD] == [f"'{text}" for text in ODD]
    assert [shown(text) for text in PLAIN] == PLAIN


@given(st.text(alphabet="'=+-@1a\t", max_size=6))
def test_what_is_meant_is_what_was_written(text):
    assert meant(shown(text)) == text
    assert shown(text).lstrip("'")[:1] not in tuple("=@\t") or shown(text).startswith("'")


def test_ids_of_a_run_are_the_same_in_all_files(tmp_path):
    data = moduli(40)
    odd_ids = [text for text in ODD if text.isprintable()]
    ids = [*odd_ids, *data.ids[len(odd_ids) :]]
    odd = Dataset.from_crystals(list(data), ids, {"=y": data.values("log10_bulk_modulus")})
    odd.write(tmp_path / "d.parquet")
    run = crystallite.train(tmp_path / "d.parquet", "=y", out=tmp_path / "run", progress=False, **TINY)
    with (run.folder / "split.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:7] == [f"'{text}" for text in odd_ids]
    assert read_ids(run.folder / "split.csv") == ids
    assert len(read_split(run.folder / "split.csv", ids).train) == run.summary["n_train"]
    assert set(read_predictions(run.folder / "test_predictions.csv").ids) <= set(ids)
    (run.folder / "summary.json").unlink()
    assert resume(run.folder, progress=False).summary["n_test"] == run.summary["n_test"]
    (run.folder / "last.safetensors").unlink()
    np.testing.assert_array_equal(resume(run.folder, progress=False).predict(odd), run.predict(odd))


def test_maps_of_ids(tmp_path):
    Path(tmp_path / "map.csv").write_text("id,material_id\n'=a,'@b\n-1,c\n")
    assert read_id_map(tmp_path / "map.csv") == {"=a": "@b", "-1": "c"}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_predictions(ending, tmp_path, energy_model):
    import pyarrow.parquet as pq

    from crystallite.models.file_predictions import predict_files
    from crystallite.models.predictor import Predictor

    data = moduli(3)
    Dataset.from_crystals(list(data), ODD[:3]).write(tmp_path / "d.parquet")
    output = tmp_path / f"p{ending}"
    predict_files([Predictor(energy_model)], [str(tmp_path / "d.parquet")], output, progress=False)
    if ending == ".csv":
        assert [line.split(",")[0] for line in output.read_text().splitlines()[1:]] == [
            f"'{i}" for i in ODD[:3]
        ]
    else:
        assert pq.read_table(output)["material_id"].to_pylist() == ODD[:3]
