"""A word means the same files for predict and import; each crystal gets an id of its own."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from archive_files import read
from strategies import rock_salt

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.models.file_predictions import predict_files
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading.structure_files import found_files, with_ids
from crystallite.sources.resolver import read_dataset

CIF = cif_text(rock_salt(5.6), "NaCl")


@pytest.fixture
def predicted(energy_predictor, tmp_path):
    """Predict words: ids, values, what could not be used, and notices."""

    def run(*words):
        bad = []
        output = tmp_path / "predicted" / "out.parquet"
        report = predict_files(
            [energy_predictor],
            [str(w) for w in words],
            output,
            progress=False,
            on_bad=lambda *told: bad.append(told),
        )
        import pyarrow.parquet as pq

        table = pq.read_table(output).to_pydict()
        return table["material_id"], table["formation_energy_per_atom"], bad, report.notices

    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with files of every kind made of two crystals."""
    monkeypatch.chdir(tmp_path)
    two = Dataset.from_crystals([rock_salt(5.6), rock_salt(5.2, 3, 9)], ["NaCl", "LiF"])
    for name in ("x.json", "cifs.msgpack", "x.extxyz", "x.db", "a/task.json.gz"):
        export_dataset(two, Path(name))
    arrays = two.arrays
    np.savez(
        "x.npz",
        ids=two.ids,
        lattice=arrays.lattices,
        offsets=arrays.offsets,
        numbers=arrays.numbers,
        frac=arrays.frac_coords,
    )
    Path("one.cif").write_text(CIF)
    Path("two.CIF").write_text(CIF)
    Path("three.cif.gz").write_bytes(gzip.compress(CIF.encode()))
    ase.io.write("POSCAR", ase.Atoms("NaCl", cell=[4, 4, 4], scaled_positions=[[0] * 3, [0.5] * 3], pbc=True))
    for name, crystal in (
        ("POSCAR_b", "POSCAR"),
        ("a/CONTCAR", "POSCAR"),
        ("a/POSCAR", "POSCAR"),
        ("c.vasp", "POSCAR"),
    ):
        shutil.copy(crystal, name)
    Path("d.poscar.gz").write_bytes(gzip.compress(Path("POSCAR").read_bytes()))
    Path("f.xyz.gz").write_bytes(gzip.compress(Path("x.extxyz").read_bytes()))
    return tmp_path


@pytest.mark.parametrize(
    ("word", "ids"),
    [
        ("one.cif", ["one"]),
        ("two.CIF", ["two"]),
        ("three.cif.gz", ["three"]),
        (".", ["one", "three", "two"]),
        ("*.cif*", ["one", "three"]),
        ("**/[PC]O*", ["b", None, "a"]),
        ("[cd].*", ["c", "d"]),
        ("c.vasp", ["c"]),
        ("d.poscar.gz", ["d"]),
        ("POSCAR", [None]),
        ("a/CONTCAR", ["a"]),
        ("a", ["a"]),
        ("x.json", ["NaCl", "LiF"]),
        ("cifs.msgpack", ["NaCl", "LiF"]),
        ("a/task.json.gz", ["NaCl", "LiF"]),
        ("x.extxyz", ["NaCl", "LiF"]),
        ("f.xyz.gz", ["NaCl", "LiF"]),
        ("x.db", ["NaCl", "LiF"]),
        ("x.npz", ["NaCl", "LiF"]),
    ],
)
def test_import_and_predict_read_the_same(word, ids, here, predicted, energy_predictor):
    ids = [here.name if name is None else name for name in ids]
    if word == ".":
        Path("cifs.msgpack").unlink()  # an archive of this name is the folder's crystals
    if word == "a":
        Path("a/task.json.gz").unlink()
    dataset = read(word).dataset
    found, values, bad, _ = predicted(word)
    assert sorted(dataset.ids) == sorted(ids)
    assert (found, bad) == (dataset.ids, [])
    np.testing.assert_allclose(values, energy_predictor.predict(dataset), atol=1e-6)


def test_a_pattern_of_several_kinds(here, predicted):
    ids = predicted("x.*", "one.cif")[0]
    later = [f"x.{ending}:{name}" for ending in ("extxyz", "json", "npz") for name in ("NaCl", "LiF")]
    assert ids == ["NaCl", "LiF", *later, "one"]
    assert read("x.*").dataset.ids == ids[:-1]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a/x.cif", "b/x.cif"], ["a/x", "b/x"]),
        (["x.cif", "b/x.cif", "b/y.cif"], ["x", "b/x", "y"]),
        (["p/a/x.cif", "q/a/x.cif"], ["p/a/x", "q/a/x"]),
        (["x.cif", "x.CIF", "x.cif.gz"], ["x.cif", "x.CIF", "x.cif.gz"]),
        (["a/1/POSCAR", "b/1/CONTCAR", "b/2/POSCAR"], ["a/1", "b/1", "2"]),
        (["x.cif", "x.cif"], ["x"]),
        (["POSCAR_a", "a.vasp", "CONTCAR.b", "x.y.cif"], ["POSCAR_a", "a.vasp", "b", "x.y"]),
    ],
)
def test_ids_are_unique(names, ids):
    assert [file.id for file in with_ids(map(Path, names))] == ids


def test_same_names_in_two_folders(here, predicted, tmp_path):
    for name in "pq":
        Path(name).mkdir()
        shutil.copy("one.cif", f"{name}/x.cif")
    shutil.copy("x.extxyz", "p/x.extxyz")
    Dataset.from_crystals([rock_salt(5.6)], ["NaCl"]).write("p/x.parquet")
    ids, values, _, _ = predicted("p", "q/*.cif", "p/x.extxyz", "x.extxyz", "p/x.parquet")
    assert ids == ["NaCl", "p/x", "q/x", "p/x:NaCl", "LiF", "x:NaCl", "x:LiF"]
    assert len(set(np.round(values, 4))) == 2
    assert read("[pq]/x.cif").dataset.ids == ["p/x", "q/x"]
    Path("t.csv").write_text("material_id,y\nq/x,1\np/x.cif,2\n")
    dataset = read("[pq]/x.cif", table="t.csv").dataset
    assert (dataset.ids, dataset.values("y").tolist()) == (["q/x", "p/x"], [1, 2])
    Path("t.csv").write_text("material_id,y\nx,1\n")
    with pytest.raises(
        CrystalliteError, match=r"t\.csv, line 2 \(x\): there are several .* ids are p/x, q/x"
    ):
        read("[pq]/x.cif", table="t.csv")


def test_tables_may_name_files(here):
    Path("t.csv").write_text("material_id,y\none.cif,1\nthree.cif.gz,2\ntwo,3\n")
    Path("cifs.msgpack").unlink()
    assert read(".", table="t.csv").dataset.ids == ["one", "three", "two"]
    Path("id_prop.csv").write_text("one.cif,1\nthree.cif,2\na/two,3\n../one,4\n")
    shutil.copy("two.CIF", "a/two.cif")
    with pytest.raises(
        CrystalliteError, match=r"1 of 4 .*\n.*id_prop\.csv, line 4 \(\.\./one\): there is no file"
    ):
        read_dataset(".")
    assert read(".", skip_bad=True).dataset.ids == ["one", "three", "a/two"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.zip", "x.zip: not a readable archive, or damaged: File is not a zip file"),
        ("x.tar.gz", "x.tar.gz: not a readable archive, or damaged: "),
        ("x.tar.zst", "a tar archive in a compression that is not read; unpack it first: tar -xf x.tar.zst"),
        ("x.cif.bz2", "unpack it first"),
        ("x.traj", "ase convert x.traj NAME.extxyz"),
        ("OUTCAR", "ase convert OUTCAR NAME.extxyz"),
        ("x.csv", "a table; give it beside crystals: crystallite data import CRYSTALS --table x.csv"),
        ("x.xlsx", "a table"),
        ("best.safetensors", "a model; it comes before the inputs"),
        ("missing.cif", "missing.cif: no such file, folder or pattern"),
        ("*.traj*", "no such file"),
        ("a\0b.cif", "no such file"),
        ("empty", "empty: a folder without"),
    ],
)
def test_other_files_are_told_what_reads_them(name, reason, tmp_path, monkeypatch, predicted):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    if name not in {"missing.cif", "empty"} and "*" not in name and "\0" not in name:
        Path(name).write_bytes(b"PK")
    with pytest.raises(CrystalliteError) as caught:
        read(name)
    assert reason.split(":")[-1] in str(caught.value)
    ids, _, bad, _ = predicted(name)
    assert (ids, len(bad)) == ([], 1)
    assert reason in ": ".join(bad[0])
    assert "\n" not in bad[0][1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are always text")
def test_one_bad_name_pipe_or_link_is_one_bad_file(tmp_path, predicted):
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "good.cif").write_text(CIF)
    (folder / os.fsdecode(b"bad-\xff.cif")).write_text(CIF)
    (folder / "folder.cif").mkdir()
    (folder / "link.cif").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.cif")
    ids, _, bad, _ = predicted(folder)
    reasons = sorted(f"{Path(source).name}: {reason}" for source, reason in bad)
    assert ids == ["good"]
    assert reasons[0] == r"bad-\xff.cif: the name is not valid text; rename the file"
    assert [reason.split(":")[0] for reason in reasons[1:]] == ["folder.cif", "link.cif", "pipe.cif"]
    imported = read(folder, skip_bad=True)
    assert (imported.dataset.ids, len(imported.bad)) == (["good"], 4)
    for name in ("x.json", "x.extxyz", "x.db", "x.npz", "POSCAR", "t.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(CrystalliteError, match="pipe"):
            read(folder / "good.cif", table=tmp_path / name) if name == "t.csv" else read(tmp_path / name)


def test_files_without_a_crystal_are_named(tmp_path, predicted):
    (tmp_path / "x.json").write_text("[]")
    assert predicted(tmp_path / "x.json")[2] == [(str(tmp_path / "x.json"), "no crystals")]


def test_several_structures_of_a_cif(tmp_path, predicted):
    other = cif_text(rock_salt(5.2, 3, 9), "LiF")
    (tmp_path / "both.cif").write_text(f"{CIF}\n{other}")
    assert predicted(tmp_path / "both.cif")[0] == ["both:NaCl", "both:LiF"]
    for workers in (1, 2):
        assert read(tmp_path / "*.cif", workers=workers).dataset.ids == ["both:NaCl", "both:LiF"]
    (tmp_path / "t.csv").write_text("material_id,y\nboth:LiF,1\nboth,2\n")
    imported = read(tmp_path, table=tmp_path / "t.csv")
    assert [crystal.numbers[0] for crystal in imported.dataset] == [3, 11]
    assert "several structures, only the first is read" in imported.notices[0]


def test_what_a_folder_leaves_out_is_told(here, predicted):
    Path("cifs.msgpack").unlink()
    notices = predicted(".")[3]
    assert notices == [".: 4 POSCARs beside the CIFs are left out"]
    assert found_files(".").notices == read(".").notices == notices
    assert "1 folders have POSCAR and CONTCAR" in found_files("a/*CAR").notices[0]
    Path("a/notes.txt").write_text("")
    assert "1 files of a/* have no structures and are left out: a/notes.txt" in found_files("a/*").notices[-1]
