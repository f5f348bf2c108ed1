"""Screenings: what becomes of every crystal, whatever the workers, the stops and the shares."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from screenings import GAP, Here, contents, counts, here, with_twins
from strategies import face_centered, made

import crystallite
from crystallite.crystals import cif
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.graphs.packed import pack_graphs_of_nothing
from crystallite.screening.engine import local_processes
from crystallite.screening.loop import Share
from crystallite.screening.screening import screen_with
from crystallite.screening.work import Question, Worker
from crystallite.sources import pieces
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading.pymatgen_json import structure_dict


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 50)


@pytest.fixture(scope="session")
def twins(elastic) -> Dataset:
    """300 crystals, 100 of them again in another cell."""
    return with_twins(elastic, 300)


@pytest.fixture(scope="session")
def twins_file(twins, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("screened") / "twins.parquet"
    twins.write(path)
    return path


def rows(folder: Path, kind: str):
    return pq.read_table(folder / kind).to_pandas() if (folder / kind).is_dir() else None


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
        patch.setattr(Here, "__init__", _remembering(Here.__init__, engines))
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


def _remembering(begin, engines):
    def remember(self, question):
        begin(self, question)
        engines.append(self)

    return remember


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


def test_a_second_run_predicts_nothing(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}
    with pytest.MonkeyPatch.context() as patch:
        engines = []
        patch.setattr(Here, "__init__", _remembering(Here.__init__, engines))
        summary = screen_with(here, GAP, [twins_file], tmp_path)
    assert not engines[0].read_pieces
    assert summary.predicted_before == summary.predictions > 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}


COMMAND = """
import sys
import crystallite.sources.pieces as pieces
from crystallite.cli import main
pieces.CRYSTALS = 20
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def test_killed_at_any_moment_nothing_is_lost_or_predicted_twice(twins_file, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)

    def command(folder: Path, *options: str) -> list[str]:
        return [
            sys.executable,
            str(script),
            "screen",
            "band_gap",
            str(twins_file),
            "-o",
            str(folder),
            *options,
        ]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run(command(whole, "--workers", "1"), check=True, capture_output=True)
    duration = time.monotonic() - started
    rng = random.Random(0)
    kept: dict[Path, int] = {}
    for _ in range(4):
        process = subprocess.Popen(command(killed, "--workers", "2"), stderr=subprocess.DEVNULL)
        try:
            process.wait(duration * rng.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        now = {path: path.stat().st_mtime_ns for path in killed.glob("predictions/part-*.parquet")}
        assert {path: now[path] for path in kept} == kept  # what is done is not done again
        kept = now
    subprocess.run(command(killed), check=True, capture_output=True)
    assert contents(killed) == contents(whole)


def test_shares_meet_in_one_folder(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path / "whole")
    shared = tmp_path / "shared"
    for remainder in (2, 0, 1):
        screen_with(here, GAP, [twins_file], shared, share=Share(remainder, 3))
    assert not (shared / "summary.json").exists()
    n_rows = len(rows(shared, "predictions"))
    screen_with(here, GAP, [twins_file], shared)
    assert contents(shared) == contents(tmp_path / "whole")
    assert n_rows > len(rows(shared, "predictions"))  # twins of several shares were predicted in each


def test_a_share_that_never_ran_is_done_at_the_end(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path / "whole")
    screen_with(here, GAP, [twins_file], tmp_path / "shared", share=Share(1, 2))
    screen_with(here, GAP, [twins_file], tmp_path / "shared")
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


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


def test_a_folder_is_for_one_question_and_one_input(twins_file, tmp_path, elastic):
    folder = tmp_path / "out"
    mine = tmp_path / "mine.parquet"
    elastic.select(range(5)).write(mine)
    screen_with(here, GAP, [mine], folder)
    with pytest.raises(CrystalliteError, match="begun with other models"):
        screen_with(here, Question(("is_metal",)), [mine], folder)
    with pytest.raises(CrystalliteError, match="begun with other inputs"):
        screen_with(here, GAP, [twins_file], folder)
    elastic.select(range(6)).write(mine)
    with pytest.raises(CrystalliteError, match="begun with other files"):
        screen_with(here, GAP, [mine], folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(CrystalliteError, match="is not empty"):
        screen_with(here, GAP, [twins_file], other)
    with pytest.raises(CrystalliteError, match="no such file"):
        screen_with(here, GAP, [tmp_path / "nothing.cif"], other)


def test_two_runs_do_not_write_to_one_folder(twins_file, tmp_path):
    def meanwhile(question):
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path)
        return here(question)

    screen_with(meanwhile, GAP, [twins_file], tmp_path)


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


def test_a_worker_of_no_crystals_has_no_rows():
    worker = Worker(GAP)
    predicted = worker.predict([pack_graphs_of_nothing()], np.zeros(0, np.int64))
    assert len(predicted.table) == len(predicted.are_numbers) == 0
    assert predicted.table.column_names[0] == "band_gap"


def test_results_do_not_lie_in_an_input(twins_file):
    with pytest.raises(CrystalliteError, match="lies in the input"):
        screen_with(here, GAP, [twins_file.parent], twins_file.parent / "out")


SLOWLY = """
import signal, time
from crystallite.screening.results import Results
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
write = Results.write
def slowly(*arguments):
    time.sleep(0.2)
    return write(*arguments)
Results.write = slowly
"""


def test_interrupted_it_says_so_and_goes_on(twins_file, tmp_path):
    """Ctrl-C reaches the workers too, which share the terminal; 20 parts take four seconds at least."""
    script = tmp_path / "command.py"
    script.write_text(SLOWLY + COMMAND)
    folder = tmp_path / "out"
    words = [sys.executable, str(script), "screen", "band_gap", str(twins_file), "-o", str(folder)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(folder.glob("predictions/part-*")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 1
    assert "Error: interrupted; " in told
    assert "Traceback" not in told
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "of them before)" in finished.stderr


def test_predictions_that_are_no_numbers_stay_bad(twins_file, tmp_path, monkeypatch, small_pieces):
    """A second run, and a whole run after shares, leave the files as a run in one go does."""
    predict = Worker.predict

    def without_some(self, graphs, chosen):
        predicted = predict(self, graphs, chosen)
        gaps = predicted.table["band_gap"].to_numpy()
        return predicted._replace(are_numbers=predicted.are_numbers & (gaps > 0.2))

    monkeypatch.setattr(Worker, "predict", without_some)
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    summary = screen_with(here, GAP, [twins_file], whole)
    before = contents(whole)
    assert screen_with(here, GAP, [twins_file], whole).bad == summary.bad > 3
    assert contents(whole) == before
    for remainder in (1, 0):
        screen_with(here, GAP, [twins_file], shared, share=Share(remainder, 2))
    screen_with(here, GAP, [twins_file], shared)
    assert contents(shared) == before


def test_a_complete_folder_has_nothing_to_share(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CrystalliteError, match="nothing left to share"):
        screen_with(here, GAP, [twins_file], tmp_path, share=Share(1, 4))
    assert contents(tmp_path) == before


def test_a_share_and_the_whole_keep_each_other_out(twins_file, tmp_path, small_pieces):
    def whole_meanwhile(question):
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path)
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path, share=Share(0, 2))
        screen_with(here, GAP, [twins_file], tmp_path, share=Share(1, 3))
        return here(question)

    screen_with(whole_meanwhile, GAP, [twins_file], tmp_path, share=Share(0, 3))


@pytest.mark.parametrize("kind", ["duplicates", "bad", "predictions"])
def test_damaged_and_missing_files_are_told_and_made_again(twins_file, tmp_path, kind, small_pieces, elastic):
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n")
    inputs, folder = [twins_file, bad], tmp_path / "out"
    screen_with(here, GAP, inputs, folder)
    before = contents(folder)
    path = sorted((folder / kind).iterdir())[-1]
    for damage in (lambda: path.write_bytes(b""), path.unlink):
        damage()
        if kind != "predictions" or path.exists():
            with pytest.raises(CrystalliteError, match=f"{path.name}: damaged or missing: .*; delete"):
                screen_with(here, GAP, inputs, folder)
            (folder / "predictions" / path.name).unlink()
        screen_with(here, GAP, inputs, folder)
        assert contents(folder) == before


def test_a_file_that_is_cut_into_other_pieces_is_noticed(twins, tmp_path, small_pieces, monkeypatch):
    """A disk that fails for a while must not shift the parts of what comes after."""
    paths = []
    for half in range(2):
        paths.append(tmp_path / f"{half}.parquet")
        twins.select(range(200 * half, 200 * half + 200)).write(paths[-1])
    each = pieces.each_piece

    def failing(source):
        found = each(source)
        if source.path == paths[0]:
            yield next(found)
            error = CrystalError(str(paths[0]), "not readable")
            yield pieces.Piece("found", str(paths[0]), 0, [pieces.Found("", "", error)], 1.0)
        else:
            yield from found

    with monkeypatch.context() as patch:
        patch.setattr("crystallite.screening.screening.each_piece", failing)
        assert screen_with(here, GAP, paths, tmp_path / "out").bad == 1
    with pytest.raises(CrystalliteError, match=r"was made of .* where there is .* now"):
        screen_with(here, GAP, paths, tmp_path / "out")


def test_half_a_character_in_an_id_is_a_question_mark(tmp_path, elastic):
    structure = structure_dict(elastic.crystal(0))
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"material_id": "\ud800", "structure": structure}) + "\n")
    screen_with(here, GAP, [path], tmp_path / "out")
    assert rows(tmp_path / "out", "predictions").material_id.to_list() == ["?"]


def test_models_of_descriptors_see_what_graphs_do_not(tmp_path):
    """Face-centred and hexagonal packing have one graph; a kernel machine tells them apart."""
    run = tmp_path / "run"
    data = Dataset.read("elastic").select(range(120))
    crystallite.train(data, "log10_bulk_modulus", out=run, recipe="small", seed=0)
    cubic = face_centered(3.6)
    a = 3.6 / np.sqrt(2)
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, a * np.sqrt(8 / 3)]]
    hexagonal = made(cell, [29, 29], [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)])
    both = tmp_path / "both.parquet"
    Dataset.from_crystals([cubic, hexagonal, cubic], ["fcc", "hcp", "again"]).write(both)
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


def test_a_disk_that_fails_stops_a_screening_in_one_line(tmp_path, elastic, monkeypatch):
    export_dataset(elastic.select(range(3)), tmp_path / "cifs", target="bulk_modulus")

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cif, "_bytes", fail)
    with pytest.raises(CrystalliteError) as raised:
        screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out")
    reason = ".cif: cannot read the file: Input/output error; 0 crystals are in "
    assert str(raised.value).endswith(f"{reason}{tmp_path / 'out'}, and the same command goes on")
    monkeypatch.undo()
    assert screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out") == (3, 0, 0, 0, 0, None)
