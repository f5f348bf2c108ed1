"""Prediction: the same numbers for every kind of input, streamed, and honest about what cannot be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pyarrow
import pytest
from golden_files import GOLDEN
from training_runs import ENERGY, energies, one_thread, table, train  # noqa: F401

from crystallite.cli import main
from crystallite.crystals.cif import read_cifs
from crystallite.crystals.crystal import Crystal, pack_crystals
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.models.file_predictions import predict_files
from crystallite.models.loading import load_model
from crystallite.models.predictor import Evaluated
from crystallite.sources import streaming as screening
from crystallite.sources.exporters.published_layout import export_published
from crystallite.sources.reading import structures

PUBLISHED = GOLDEN / "formation-energy-per-atom.pth.tar"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    return train(energies(60), tmp_path_factory.mktemp("runs") / "energy", epochs=1)


@pytest.fixture(scope="module")
def few():
    return energies(6)


@pytest.fixture(scope="module")
def cifs(few, tmp_path_factory):
    """A folder with the six crystals as CIFs."""
    folder = tmp_path_factory.mktemp("cifs")
    export_published(few, folder / "all", ENERGY)
    return folder / "all"


def overlapping():
    """A crystal that passes for one until its graph is built: two atoms in one place."""
    return Crystal(np.array([11, 17], np.uint8), np.eye(3) * 5, np.array([[0.0, 0, 0], [0.999999, 0, 0]]))


# ---- in Python


def paths(few, cifs):
    return [cifs / f"{name}.cif" for name in few.ids]


def test_every_kind_of_input_gives_the_same_numbers(energy_predictor, few, cifs):
    pymatgen, ase = pytest.importorskip("pymatgen.core"), pytest.importorskip("ase")
    expected = energy_predictor.predict(few)
    assert expected.shape == (6,)
    assert len(set(expected.round(3))) == 6
    crystals = list(few)
    structures = [pymatgen.Structure(c.lattice, c.numbers, c.frac_coords) for c in crystals]
    atoms = [ase.Atoms(c.numbers, cell=c.lattice, scaled_positions=c.frac_coords, pbc=True) for c in crystals]
    files = paths(few, cifs)
    np.testing.assert_array_equal(energy_predictor.predict(crystals), expected)
    np.testing.assert_array_equal(energy_predictor.predict(iter(crystals)), expected)
    np.testing.assert_array_equal(energy_predictor.predict(tuple(crystals), workers=3), expected)
    np.testing.assert_allclose(energy_predictor.predict(structures), expected, atol=1e-5)
    np.testing.assert_allclose(energy_predictor.predict(atoms), expected, atol=1e-5)
    np.testing.assert_allclose(energy_predictor.predict(files), expected, atol=1e-5)
    np.testing.assert_array_equal(
        energy_predictor.predict(list(map(str, files))), energy_predictor.predict(files)
    )
    mixed = [crystals[0], structures[1], atoms[2], files[3]]
    np.testing.assert_allclose(energy_predictor.predict(mixed), expected[:4], atol=1e-5)


def test_one_crystal_is_a_list_of_one(energy_predictor, few, cifs):
    pymatgen = pytest.importorskip("pymatgen.core")
    crystal, expected = few.crystal(0), energy_predictor.predict(few)[:1]
    structure = pymatgen.Structure(crystal.lattice, crystal.numbers, crystal.frac_coords)
    for single in (crystal, structure, paths(few, cifs)[0], str(paths(few, cifs)[0])):
        np.testing.assert_allclose(energy_predictor.predict(single), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (overlapping(), r"crystal 1: two atoms are 0\.000 Å apart"),
        ("no-such.cif", r"no-such\.cif: cannot read"),
        (3.14, "crystal 1: float is not a Crystal"),
        (Crystal(np.array([1], np.uint8), np.zeros((3, 3)), np.zeros((1, 3))), "no volume"),
    ],
)
def test_a_bad_crystal_is_named(energy_predictor, few, bad, message):
    with pytest.raises(CrystalError, match=message):
        energy_predictor.predict([few.crystal(0), bad])


def test_ties_first_is_another_graph(few):
    first, shared = load_model(PUBLISHED, ties="first"), load_model(PUBLISHED)
    assert (first.model.graph.ties, shared.model.graph.ties) == ("first", "shared")
    dataset = energies(100)
    assert np.abs(first.predict(dataset) - shared.predict(dataset)).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no such model"),
        ("missing.safetensors", None, "cannot read .*: No such file"),
        ("folder", "folder", r"no best\.safetensors in this folder"),
        ("text.pth.tar", b"hello", "damaged or holds more than numbers"),
        ("text.safetensors", b"hello", "damaged or not a safetensors file"),
        ("cut.pth.tar", PUBLISHED.read_bytes()[:5000], "is damaged"),
    ],
)
def test_what_is_no_model_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content:
        path.write_bytes(content)
    with pytest.raises(CrystalliteError, match=message) as failure:
        load_model(path)
    assert str(path) in str(failure.value)


def test_the_state_of_a_training_run_is_no_model(own_run):
    with pytest.raises(CrystalliteError, match="not a Crystallite model"):
        load_model(own_run.folder / "last.safetensors")


# ---- the command


@pytest.fixture
def predict(capsys):
    """Run `crystallite predict`; returns exit status, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(["predict", *map(str, words)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return stop.value.code, captured.out, captured.err

    return run


def read(path):
    """A table of predictions as a dictionary."""
    header, rows = table(path)
    assert header == ["material_id", ENERGY]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: float(row[1]) for row in rows}


def expected_of(predictor, dataset):
    return {
        name: pytest.approx(value, abs=1e-5)
        for name, value in zip(dataset.ids, predictor.predict(dataset), strict=True)
    }


@pytest.mark.parametrize("kind", ["files", "folder", "glob", "dataset"])
def test_kinds_of_input(kind, predict, energy_predictor, few, cifs, tmp_path):
    few.write(tmp_path / "few.parquet")
    inputs = {
        "files": paths(few, cifs),
        "folder": [cifs],
        "glob": [f"{cifs}/*.cif"],
        "dataset": [tmp_path / "few.parquet"],
    }[kind]
    status, out, err = predict(PUBLISHED, *inputs, "-o", tmp_path / "new" / "out.csv")
    assert (status, out) == (0, "")
    assert "6 predictions in" in err
    assert read(tmp_path / "new" / "out.csv") == expected_of(energy_predictor, few)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.csv"]


def test_builtin_names_and_parquet_tables(predict, energy_predictor, elastic, tmp_path):
    status, _, _ = predict(PUBLISHED, "elastic", "-o", tmp_path / "out.parquet", "--workers", 2)
    assert status == 0
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(tmp_path / "out.parquet")
    assert list(frame.columns) == ["material_id", ENERGY]
    assert list(frame["material_id"]) == elastic.ids
    np.testing.assert_allclose(frame[ENERGY], energy_predictor.predict(elastic), atol=1e-5)


def test_several_inputs_in_one_table(predict, own_run, cifs, tmp_path):
    other = energies(20).select(range(10, 20))
    other.write(tmp_path / "other.parquet")
    status, out, err = predict(own_run.folder, cifs, tmp_path / "other.parquet")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"material_id,{ENERGY},novelty,unseen_elements"
    assert {line.split(",")[0] for line in lines[1:]} == {*energies(6).ids, *other.ids}
    assert len(lines) == 17


def test_ties_reach_the_graph(predict, few, cifs, tmp_path):
    predict(PUBLISHED, cifs, "--ties", "first", "-o", tmp_path / "first.csv")
    assert read(tmp_path / "first.csv") == expected_of(load_model(PUBLISHED, ties="first"), few)


BAD = {
    "empty.cif": ("", "empty"),
    "text.cif": ("this is no crystal", ""),
    "no-atoms.cif": ("data_x\n_cell_length_a 3\n", ""),
}


@pytest.fixture
def mixed(cifs, tmp_path):
    """Good CIFs and bad ones in one folder."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for path in cifs.glob("*.cif"):
        (folder / path.name).write_bytes(path.read_bytes())
    for name, (text, _) in BAD.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("skip", [False, True])
def test_bad_files_among_good_ones(skip, predict, energy_predictor, few, mixed, tmp_path):
    words = [PUBLISHED, mixed, tmp_path / "missing.cif", "-o", tmp_path / "out.csv"]
    status, _, err = predict(*words, *(["--skip-bad"] if skip else []))
    assert status == (0 if skip else 1)
    assert read(tmp_path / "out.csv") == expected_of(energy_predictor, few)
    for name, (_, reason) in BAD.items():
        line = next(line for line in err.splitlines() if line.startswith(str(mixed / name)))
        assert reason in line
        assert len(line) > len(str(mixed / name)) + 5
    assert f"{tmp_path / 'missing.cif'}: no such file" in err
    assert "4 of 10 inputs could not be used" in err


def test_nothing_but_bad_files_is_a_failure(predict, tmp_path):
    status, _, err = predict(PUBLISHED, tmp_path / "typo", "-o", tmp_path / "out.csv", "--skip-bad")
    assert status == 1
    assert (
        f"{tmp_path / 'typo'}: no such file, folder or pattern of files with structures, "
        "and no built-in dataset; there are: " in err
    )


def test_an_overlapping_crystal_of_a_dataset(predict, energy_predictor, few, tmp_path):
    """As a version that did not look at distances may have written it."""
    crystals = [*list(few)[:3], overlapping(), *list(few)[3:]]
    ids = [*few.ids[:3], "overlapping", *few.ids[3:]]
    Dataset.from_arrays(pack_crystals(crystals), ids).write(tmp_path / "seven.parquet")
    status, _, err = predict(PUBLISHED, tmp_path / "seven.parquet", "-o", tmp_path / "out.csv")
    assert status == 1
    assert "overlapping: two atoms are 0.000 Å apart" in err
    assert read(tmp_path / "out.csv") == expected_of(energy_predictor, few)
    assert list(read(tmp_path / "out.csv")) == few.ids


def test_a_damaged_dataset_does_not_stop_the_others(predict, energy_predictor, few, cifs, tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    status, _, err = predict(PUBLISHED, tmp_path / "broken.parquet", cifs, "-o", tmp_path / "out.csv")
    assert status == 1
    assert f"{tmp_path / 'broken.parquet'}: not a readable Parquet file" in err
    assert read(tmp_path / "out.csv") == expected_of(energy_predictor, few)


@pytest.mark.parametrize("name", ["out.txt", "out", "out.csv.gz"])
def test_an_unknown_format_is_refused_at_once(name, predict, cifs, tmp_path):
    status, _, err = predict(tmp_path / "no-model", cifs, "-o", tmp_path / name)
    assert status == 2
    assert "-o takes a .csv or .parquet file" in err
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_written(predict, cifs, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = predict(PUBLISHED, cifs, "-o", tmp_path / "file" / "out.csv")
    assert status == 1
    assert f"cannot write {tmp_path / 'file' / 'out.csv'}" in err


# ---- streaming


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_interruption_keeps_what_is_done_apart(suffix, energy_predictor, cifs, tmp_path, monkeypatch):
    output = tmp_path / f"out{suffix}"
    output.write_text("older")
    monkeypatch.setattr(screening, "CHUNK", 2)
    calls = iter(range(10))
    original = type(energy_predictor).evaluate

    def evaluate(self, graphs):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original(self, graphs)

    monkeypatch.setattr(type(energy_predictor), "evaluate", evaluate)
    with pytest.raises(CrystalliteError, match=rf"interrupted.*out\{suffix}\.partial"):
        predict_files([energy_predictor], [str(cifs)], output, progress=False)
    assert output.read_text() == "older"
    partial = tmp_path / f"out{suffix}.partial"
    if suffix == ".csv":
        assert len(read(partial)) == 4
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(partial).num_rows == 4
    monkeypatch.undo()
    predict_files([energy_predictor], [str(cifs)], output, progress=False)
    assert not partial.exists()
    assert output.read_bytes() != b"older"


def test_only_a_chunk_of_crystals_is_alive(energy_predictor, cifs, tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []

    def reading(path):
        found = read_cifs(path)
        alive.update(crystal for _, crystal in found)
        most.append(len(alive))
        return found

    monkeypatch.setattr(screening, "CHUNK", 2)
    monkeypatch.setattr(structures, "read_cifs", reading)
    for name in "ab":
        shutil.copytree(cifs, tmp_path / name)
    report = predict_files([energy_predictor], [str(cifs), f"{tmp_path}/*/*.cif"], None, progress=False)
    assert report.n_used == 18
    assert max(most) <= 4


def test_only_a_chunk_of_a_dataset_is_alive(energy_predictor, tmp_path, monkeypatch):
    part = energies(50)
    for k in range(8):
        part.write(tmp_path / "parts" / f"{k}.parquet")
    held = []

    def evaluate(graphs):
        held.append(tracemalloc.get_traced_memory()[0] + pyarrow.total_allocated_bytes())
        return Evaluated(np.zeros((1, graphs.n_crystals, 1)), None)

    monkeypatch.setattr(energy_predictor, "evaluate", evaluate)
    tracemalloc.start()
    report = predict_files(
        [energy_predictor], [str(tmp_path / "parts")], tmp_path / "out.csv", progress=False
    )
    tracemalloc.stop()
    assert report.n_used == 8 * len(part)
    assert len(held) == 8
    assert max(held[4:]) - max(held[:4]) < part.table.nbytes


# Between 2,000 and 8,000 crystals the allocators take some 10 to 20 MiB more, whatever is held. Evaluating
# 8,000 crystals in one batch would take half a GiB.
MARGIN = 40  # MiB
GROWTH = """
import resource, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from crystallite.models.loading import load_model
from crystallite.models.file_predictions import predict_files
model, part, folder = sys.argv[1:]
predictor = load_model(model)
for repetitions in (2, 8):
    report = predict_files([predictor], repetitions * [part], Path(folder) / "out.csv", progress=False)
    print(report.n_used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_does_not_grow_with_the_number_of_crystals(formation, tmp_path):
    formation.select(range(1000)).write(tmp_path / "part.parquet")
    words = map(str, [sys.executable, "-c", GROWTH, PUBLISHED, tmp_path / "part.parquet", tmp_path])
    printed = subprocess.run(list(words), check=True, capture_output=True, text=True).stdout
    (n_few, few), (n_many, many) = (map(int, line.split()) for line in printed.splitlines())
    assert (n_few, n_many) == (2000, 8000)
    assert many - few < MARGIN
