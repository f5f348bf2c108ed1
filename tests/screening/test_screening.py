"""Screenings: what becomes of every crystal, whatever the workers."""

from __future__ import annotations

import json
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from golden_files import GOLDEN
from screenings import GAP, Here, contents, counts, here, remembering, rows
from strategies import made

import crystallite
from crystallite.datasets import parquet
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import pack_graphs_of_nothing
from crystallite.screening.engine import local_processes
from crystallite.screening.screening import screen_with
from crystallite.screening.shortlist import Choice
from crystallite.screening.work import Question, Worker
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading.pymatgen_json import structure_dict


def test_predictions_are_those_of_predict(twins, twins_file, tmp_path, small_pieces):
    question = Question(("band_gap", "bulk_modulus"), 68.0)
    summary = screen_with(here, question, [twins_file], tmp_path)
    found = rows(tmp_path, "predictions").set_index("material_id")
    for name in question.models:
        expected = crystallite.predict(name, twins, interval=68).loc[found.index]
        for column in expected.columns:
            mine = found[f"{name}_{column}" if column in {"novelty", "unseen_elements"} else column]
            assert (mine == expected[column]).all(), column
    assert summary.predictions == len(found) == len(set(found.index))


def test_further_crystals_of_a_material_are_listed_with_the_first(twins, twins_file, tmp_path, small_pieces):
    with pytest.MonkeyPatch.context() as patch:
        engines = []
        patch.setattr(Here, "__init__", remembering(Here.__init__, engines))
        screen_with(here, GAP, [twins_file], tmp_path)
    duplicates = rows(tmp_path, "duplicates").set_index("material_id")
    named = duplicates[[name.startswith("twin-of-") for name in duplicates.index]]
    own = {name: same for name, same in duplicates.same_as.items() if not name.startswith("twin-of-")}
    assert len(named) == 100
    for name, same_as in named.same_as.items():
        parent = name.removeprefix("twin-of-")
        assert same_as == own.get(parent, parent)
    predicted = rows(tmp_path, "predictions")
    places = set(zip(predicted.part, predicted.row, strict=True))
    assert set(zip(duplicates.same_as_part, duplicates.same_as_row, strict=True)) <= places
    assert engines[0].n_predicted == len(predicted) == len(twins) - len(duplicates)
    assert predicted.source[0] == f"{twins_file}, row 1"


def test_a_twin_would_have_had_the_same_prediction(twins, twins_file, tmp_path):
    """To 1e-4 eV: graphs in single precision of cells of other shapes differ in the last digits."""
    screen_with(here, GAP, [twins_file], tmp_path)
    duplicates = rows(tmp_path, "duplicates")
    values = crystallite.predict("band_gap", twins).band_gap
    own, of_first = (values[duplicates[name]].to_numpy() for name in ("material_id", "same_as"))
    assert np.abs(own - of_first).max() < 1e-4


def test_results_do_not_depend_on_workers(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path / "here")
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        screen_with(partial(local_processes, workers=workers), GAP, [twins_file], folder)
        assert contents(folder) == contents(tmp_path / "here")


def test_bad_crystals_are_listed_with_their_reasons(elastic, tmp_path):
    folder = tmp_path / "cifs"
    export_dataset(elastic.select(range(6)), folder, "bulk_modulus")
    (folder / "id_prop.csv").unlink()
    (folder / "bad.cif").write_text("data_x\n")
    (folder / "empty.cif").write_text("")
    overlapping = (folder / f"{elastic.ids[0]}.cif").read_text()
    (folder / "zz.cif").write_text(overlapping.replace("_cell_length_a", "_cell_length_b"))
    summary = screen_with(here, GAP, [folder], tmp_path / "out")
    bad = rows(tmp_path / "out", "bad")
    assert [Path(source).name for source in bad.source] == ["bad.cif", "empty.cif", "zz.cif"]
    assert "no atoms" in bad.reason[0]
    assert (summary.predictions, summary.bad) == (6, 3)


def test_every_crystal_is_in_one_table(twins, tmp_path, small_pieces):
    """Of a damaged archive too: what came before the damage, and the damage."""
    folder = tmp_path / "cifs"
    export_dataset(Dataset.from_arrays(twins.arrays, twins.ids, {"x": np.zeros(len(twins))}), folder, "x")
    path = tmp_path / "cifs.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, "cifs")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])
    screen_with(here, GAP, [path], tmp_path / "out")
    told = counts(tmp_path / "out")
    assert "not a readable archive" in rows(tmp_path / "out", "bad").reason[0]
    assert told["bad"] == 1
    assert 150 < told["predictions"] + told["duplicates"] < 300


def test_a_prediction_that_is_no_number_is_bad(twins_file, tmp_path, monkeypatch):
    predict = Worker.predict

    def without_third(self, graphs, chosen):
        predicted = predict(self, graphs, chosen)
        predicted.are_numbers[2] = False
        return predicted

    monkeypatch.setattr(Worker, "predict", without_third)
    summary = screen_with(here, GAP, [twins_file], tmp_path)
    bad = rows(tmp_path, "bad")
    assert summary.bad == 1
    assert bad.source[0] == f"{twins_file}, row 3"
    assert "not a finite number" in bad.reason[0]


def test_models_of_other_graphs_are_predicted_together(elastic, tmp_path, energies_file):
    """A run folder with 8 neighbours, beside a ready model with 12."""
    run = tmp_path / "run"
    crystallite.train(
        Dataset.read(energies_file), "formation_energy_per_atom", out=run, epochs=1, n_neighbors=8, seed=0
    )
    folder = tmp_path / "out"
    data = tmp_path / "data.parquet"
    elastic.select(range(20)).write(data)
    screen_with(here, Question((str(run), "band_gap")), [data], folder)
    found = rows(folder, "predictions").set_index("material_id")
    expected = crystallite.predict(str(run), elastic.select(range(20))).loc[found.index]
    assert (found.formation_energy_per_atom == expected.formation_energy_per_atom).all()
    assert np.isfinite(found.band_gap).all()


def test_a_model_gives_intervals_whatever_the_one_beside_it_knows(elastic, tmp_path):
    """The published checkpoint does not know its errors."""
    elastic.select(range(5)).write(tmp_path / "data.parquet")
    question = Question((str(GOLDEN / "formation-energy-per-atom.pth.tar"), "band_gap"))
    screen_with(here, question, [tmp_path / "data.parquet"], tmp_path / "out")
    found = rows(tmp_path / "out", "predictions")
    assert [column for column in found if column.endswith("lower")] == ["band_gap_lower"]
    assert (found.band_gap_lower < found.band_gap).all()
    assert (found.band_gap < found.band_gap_upper).all()


def test_a_long_shortlist_is_written_in_parts(twins, twins_file, tmp_path, small_pieces, monkeypatch):
    """In its order, each crystal with its own structure."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 7)
    assert (
        screen_with(here, GAP, [twins_file], tmp_path, Choice(by="band_gap DESC, material_id")).listed == 300
    )
    listed = Dataset.read(tmp_path / "shortlist.parquet")
    expected = rows(tmp_path, "predictions").sort_values(["band_gap", "material_id"], ascending=[False, True])
    assert listed.ids == expected.material_id.tolist()
    assert pd.read_csv(tmp_path / "shortlist.csv").material_id.tolist() == listed.ids
    assert (listed.values("band_gap") == expected.band_gap).all()
    assert listed.fingerprint == twins.select(listed.ids).fingerprint


def test_a_worker_of_no_crystals_has_no_rows():
    worker = Worker(GAP)
    predicted = worker.predict([pack_graphs_of_nothing()], np.zeros(0, np.int64))
    assert len(predicted.table) == len(predicted.are_numbers) == 0
    assert predicted.table.column_names[0] == "band_gap"


def test_results_do_not_lie_in_an_input(twins_file):
    with pytest.raises(CrystalliteError, match="lies in the input"):
        screen_with(here, GAP, [twins_file.parent], twins_file.parent / "out")


def test_half_a_character_in_an_id_is_a_question_mark(tmp_path, elastic):
    structure = structure_dict(elastic.crystal(0))
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"material_id": "\ud800", "structure": structure}) + "\n")
    screen_with(here, GAP, [path], tmp_path / "out")
    assert rows(tmp_path / "out", "predictions").material_id.to_list() == ["?"]


def test_models_of_descriptors_see_what_graphs_do_not(tmp_path):
    """Sheets of carbon at two distances have one graph; a kernel machine tells them apart."""
    run = tmp_path / "run"
    data = Dataset.read("elastic").select(range(120))
    crystallite.train(data, "log10_bulk_modulus", out=run, recipe="small", seed=0)
    near, far = (
        made([[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, height]], [6, 6], [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)])
        for height in (8, 9)
    )
    both = tmp_path / "both.parquet"
    Dataset.from_crystals([near, far, near], ["near", "far", "again"]).write(both)
    assert screen_with(here, GAP, [both], tmp_path / "graphs").predictions == 1
    summary = screen_with(here, Question((str(run), "band_gap")), [both], tmp_path / "out")
    assert (summary.predictions, summary.duplicates) == (2, 1)


def test_columns_of_one_name_are_refused_at_the_start(tmp_path, energies_file):
    data = Dataset.read(energies_file)
    renamed = Dataset.from_arrays(data.arrays, data.ids, {"Part": np.linspace(0, 1, len(data))})
    run = tmp_path / "run"
    crystallite.train(renamed, "Part", out=run, epochs=1, seed=0)
    with pytest.raises(CrystalliteError, match="would be called part"):
        screen_with(here, Question((str(run),)), [energies_file], tmp_path / "out")
