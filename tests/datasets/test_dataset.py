"""Dataset: what is written is what is read, by us and by others, and malformed files are named precisely."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from strategies import any_crystals

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset, iter_batches
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources.resolver import read_dataset


def small(n=4):
    """The first crystals of a built-in set with a number, a truth value and a text for each."""
    dataset = Dataset.read("dielectric").select(range(n))
    dataset = dataset.with_property("metal", [i % 2 == 0 for i in range(n)])
    return dataset.with_property("split", ["train", "test", None, "train"][:n])


def same_crystals(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.arrays, second.arrays, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.lists(any_crystals(), min_size=1, max_size=4), st.data())
def test_what_is_written_is_read(tmp_path_factory, structures, data):
    values = data.draw(
        st.lists(
            st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=len(structures), max_size=len(structures)
        )
    )
    ids = data.draw(st.lists(st.text(), min_size=len(structures), max_size=len(structures)))
    path = tmp_path_factory.mktemp("dataset") / "odd näme,1.parquet"
    dataset = Dataset.from_crystals(structures, ids, {"x": values}, {"x": "GPa"}, metadata={"title": "Ünits"})
    dataset.write(path)
    read = Dataset.read(path)
    assert read.ids == ids
    assert read.units == {"x": "GPa"}
    assert read.metadata == {"title": "Ünits", "format": "1"}
    assert same_crystals(read, dataset)
    assert read.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(read.values("x"), np.array(values, dtype=float))
    for crystal, original in zip(read, structures, strict=True):
        np.testing.assert_array_equal(crystal.frac_coords, original.frac_coords)


def test_pandas_polars_and_duckdb_open_the_file(tmp_path):
    path = tmp_path / "data.parquet"
    dataset = small()
    dataset.write(path)
    duck = duckdb.sql(f"select * from '{path}'").fetchall()
    polars, pandas = pl.read_parquet(path), pd.read_parquet(path)
    for ids in (pandas["material_id"].tolist(), polars["material_id"].to_list(), [row[0] for row in duck]):
        assert ids == dataset.ids
    crystal = dataset.crystal(1)
    for lattice in (pandas["lattice"][1], polars["lattice"].to_list()[1], duck[1][1]):
        np.testing.assert_array_equal(np.array(lattice).reshape(3, 3), crystal.lattice)
    for coords in (pandas["frac_coords"][1], polars["frac_coords"][1], duck[1][3]):
        np.testing.assert_array_equal(np.array(coords).reshape(-1, 3), crystal.frac_coords)
    assert polars["band_gap"].to_list() == dataset.values("band_gap").tolist()
    assert pandas["split"].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize("writer", ["pandas", "polars", "duckdb"])
def test_files_that_others_wrote_are_read(tmp_path, writer):
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    dataset = small()
    dataset.write(ours)
    if writer == "pandas":
        pd.read_parquet(ours).to_parquet(theirs)
    elif writer == "polars":
        pl.read_parquet(ours).write_parquet(theirs)
    else:
        duckdb.sql(f"copy (select * from '{ours}') to '{theirs}' (format parquet)")
    read = Dataset.read(theirs)
    assert same_crystals(read, dataset)
    assert read.fingerprint == dataset.fingerprint
    assert read.properties == ["band_gap", "refractive_index", "metal"]
    assert read.labels("split") == ["train", "test", None, "train"]


def test_a_folder_of_parts_is_one_dataset(tmp_path):
    dataset = Dataset.read("elastic").select(range(50))
    for part in range(5):
        dataset.select(range(10 * part, 10 * part + 10)).write(tmp_path / f"part-{part}.parquet")
    (tmp_path / ".part-5.parquet").write_text("a file being written")
    read = Dataset.read(tmp_path)
    assert read.ids == dataset.ids
    assert read.fingerprint == dataset.fingerprint
    assert read.units == dataset.units
    assert read.metadata["doi"] == "10.1038/sdata.2015.9"


def test_names_that_end_in_parquet_and_are_no_files(tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "folder.parquet" / ".part-0.parquet").write_text("a file being written")
    (tmp_path / "gone.parquet").symlink_to("nowhere")
    for read in (Dataset.read, read_dataset):
        with pytest.raises(CrystalliteError, match=r"folder\.parquet.* (no folder of|a folder without) "):
            read(tmp_path / "folder.parquet")
        with pytest.raises(CrystalliteError, match=r"gone\.parquet: not a readable Parquet file: No such"):
            read(tmp_path / "gone.parquet")


def test_a_folder_partitioned_by_duckdb_gives_its_column(tmp_path):
    small().write(tmp_path / "data.parquet")
    parts = tmp_path / "parts"
    duckdb.sql(f"""copy (select * from '{tmp_path}/data.parquet')
                   to '{parts}' (format parquet, partition_by (split))""")
    read = Dataset.read(parts)
    assert dict(zip(read.ids, read.labels("split"), strict=True)) == dict(
        zip(small().ids, small().labels("split"), strict=True)
    )
    assert sum(len(batch) for batch in iter_batches(parts, 1)) == 4


def test_batches_are_the_whole_in_order():
    whole = Dataset.read("formation")
    batches = list(iter_batches("formation", 1000))
    assert [len(batch) for batch in batches] == [1000, 1000, 1000, 938]
    assert [i for batch in batches for i in batch.ids] == whole.ids
    np.testing.assert_array_equal(
        np.concatenate([batch.values("formation_energy_per_atom") for batch in batches]),
        whole.values("formation_energy_per_atom"),
    )
    np.testing.assert_array_equal(batches[-1].arrays.frac_coords, whole.arrays.frac_coords[-len(batches[-1].arrays.frac_coords):])  # fmt: skip # noqa: E501
    assert batches[0].units == whole.units


def test_the_fingerprint_is_of_the_crystals_and_nothing_else(tmp_path):
    dataset = Dataset.read("elastic")
    same = dataset.with_property("x", np.zeros(len(dataset))).with_metadata({"title": "Another"})
    assert same.fingerprint == dataset.fingerprint
    assert dataset.select(range(len(dataset))).fingerprint == dataset.fingerprint
    assert dataset.select(range(1180, -1, -1)).fingerprint != dataset.fingerprint
    moved = list(dataset)
    coords = moved[7].frac_coords.copy()
    coords[0, 0] = np.nextafter(coords[0, 0], 2)
    moved[7] = Crystal(moved[7].numbers, moved[7].lattice, coords)
    assert Dataset.from_crystals(moved, dataset.ids).fingerprint != dataset.fingerprint


def test_reading_does_not_import_pandas():
    code = (
        "import sys, crystallite; d = crystallite.Dataset.read('formation'); d.fingerprint;"
        "d.values('formation_energy_per_atom'); d.select([1, 2]);"
        "print([m for m in ('pandas', 'torch', 'pyarrow.dataset') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_arrays_share_memory():
    dataset = Dataset.read("elastic")
    for array in (dataset.arrays.lattices, dataset.arrays.numbers, dataset.arrays.frac_coords):
        assert not array.flags.owndata
    assert np.shares_memory(dataset.crystal(3).frac_coords, dataset.arrays.frac_coords)
    assert np.array_equal(dataset.crystal(-1).lattice, dataset.arrays.lattices[-1])


def test_select_takes_indices_and_masks():
    dataset = Dataset.read("elastic")
    chosen = dataset.select([5, 0, -1, 5])
    assert chosen.ids == [dataset.ids[i] for i in (5, 0, -1, 5)]
    np.testing.assert_array_equal(
        chosen.values("bulk_modulus"), dataset.values("bulk_modulus")[[5, 0, -1, 5]]
    )
    np.testing.assert_array_equal(chosen.crystal(1).frac_coords, dataset.crystal(0).frac_coords)
    stiff = dataset.values("bulk_modulus") > 300
    assert len(dataset.select(stiff)) == stiff.sum()
    assert len(dataset.select([])) == 0
    assert dataset.select([]).arrays.n_crystals == 0
    with pytest.raises(IndexError):
        dataset.select([1181])


def test_objects_of_pymatgen_and_ase_are_crystals():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    frame = pd.DataFrame({"material_id": ["salt", "copper"], "gap": [5.0, None], "kind": ["ionic", "metal"]})
    dataset = Dataset.from_crystals([salt, bulk("Cu")], properties=frame, units={"gap": "eV"})
    assert dataset.ids == ["salt", "copper"]
    assert len(dataset.crystal(0)) == 8
    assert dataset.crystal(1).numbers.tolist() == [29]
    np.testing.assert_array_equal(dataset.values("gap"), [5.0, np.nan])
    assert dataset.properties == ["gap"]
    assert dataset.labels("kind") == ["ionic", "metal"]
    disordered = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(CrystalError, match="invar: partial occupancy"):
        Dataset.from_crystals([salt, disordered], ["salt", "invar"])


def test_to_pandas_has_all_columns():
    frame = small().to_pandas()
    assert list(frame.columns[:4]) == ["material_id", "lattice", "numbers", "frac_coords"]
    assert frame["band_gap"].dtype == np.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.values("band-gap"), "did you mean band_gap"),
        (lambda d: d.values("split"), "is text, not numbers"),
        (lambda d: d.labels("colour"), "has no property 'colour'"),
        (lambda d: d.with_property("x", [1.0]), "property x: 1 values for 4 crystals"),
        (lambda d: d.with_property("lattice", [1.0] * 4), "describes the crystal itself"),
        (lambda d: d.with_property("x", [1.0, 2.0, np.inf, 0.0]), "property x, row 3: an infinite number"),
        (lambda d: d.with_property("x", [1.0, "a", 2.0, 3.0]), "all numbers or all text"),
        (lambda d: Dataset.from_crystals(list(d), ["a"]), "ids: 1 values for 4 crystals"),
        (lambda d: Dataset.from_crystals(list(d), units={"x": "eV"}), "unit is given for x"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(CrystalliteError, match=message):
        call(small())


def test_an_unknown_source_lists_what_there_is(tmp_path):
    with pytest.raises(CrystalliteError, match=r"did you mean elastic\?.*elastic, formation, dielectric"):
        Dataset.read("elastik")
    (tmp_path / "data.csv").write_text("a,b\n")
    for word in (tmp_path, tmp_path / "data.csv", tmp_path / "gone.parquet", ""):
        with pytest.raises(CrystalliteError, match=r"is no \.parquet file, no folder of \.parquet files"):
            Dataset.read(word)
    with pytest.raises(CrystalliteError, match=r"folder without id_prop\.csv"):
        read_dataset(tmp_path)
    with pytest.raises(CrystalliteError, match="a table; give it beside crystals"):
        read_dataset(tmp_path / "data.csv")
    (tmp_path / "data.parquet").write_text("this is not Parquet")
    with pytest.raises(CrystalliteError, match="not a readable Parquet file"):
        Dataset.read(tmp_path / "data.parquet")


def spoiled(column, row, change):
    """A table of 4 crystals with one entry of one structure column changed."""
    frame = small().table.to_pydict()
    frame[column][row] = change(frame[column][row])
    return pa.table(frame)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("lattice", lambda v: v[:8], "9 numbers"),
        ("lattice", lambda v: [np.nan, *v[1:]], "not a finite number"),
        ("lattice", lambda v: v[:6] + v[3:6], "no volume"),
        ("numbers", lambda v: [], "no atoms"),
        ("numbers", lambda v: [101, *v[1:]], "atomic number from 1 to 100"),
        ("numbers", lambda v: [0, *v[1:]], "atomic number from 1 to 100"),
        ("numbers", lambda v: [None, *v[1:]], "atomic number from 1 to 100"),
        ("frac_coords", lambda v: v[:-1], "three coordinates are needed"),
        ("frac_coords", lambda v: [*v[:-1], np.inf], "not a finite number"),
        ("frac_coords", lambda v: [*v[:-1], None], "not a finite number"),
        ("frac_coords", lambda v: None, "no value"),
    ],
)
def test_a_malformed_file_is_named_with_column_and_row(tmp_path, column, change, message):
    path = tmp_path / "bad.parquet"
    pq.write_table(spoiled(column, 2, change), path)
    place = rf"bad\.parquet: column {column}, row 3 \({small().ids[2]}\): .*{message}"
    with pytest.raises(CrystalliteError, match=place):
        Dataset.read(path)
    with pytest.raises(CrystalliteError, match=place):
        list(iter_batches(path, 2))


def test_a_file_without_the_columns_or_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "bad.parquet"
    pq.write_table(small().table.drop_columns(["numbers", "lattice"]), path)
    with pytest.raises(CrystalliteError, match=r"bad\.parquet: no column lattice, numbers"):
        Dataset.read(path)
    pq.write_table(small().table.replace_schema_metadata({"crystallite.format": "2"}), path)
    with pytest.raises(CrystalliteError, match="dataset format 2"):
        Dataset.read(path)
    text = pa.array(["1 0 0 0 1 0 0 0 1"] * 4)
    pq.write_table(small().table.set_column(1, "lattice", text), path)
    with pytest.raises(CrystalliteError, match=r"bad\.parquet: column lattice has the type string"):
        Dataset.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "data.parquet"
    small().write(path)

    def full_disk(writer, table, **_):
        assert writer.where.stat().st_size  # half of a file
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full_disk)
    with pytest.raises(CrystalliteError, match=r"cannot write .*data\.parquet: No space left"):
        small(2).write(path)
    assert len(Dataset.read(path)) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["data.parquet"]
