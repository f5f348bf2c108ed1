"""Ids such as 00123 and 1e5 stay as they are, whatever they are read from and written to."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_files import read
from grouped_runs import Said
from training_runs import ENERGY, train

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.materials.audit import read_split
from crystallite.materials.difference import pair_crystals
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading.tables import read_table
from crystallite.sources.web.id_lists import read_id_map, read_ids

IDS = [
    "00123",
    "123",
    "0",
    "007",
    "1e5",
    "1E5",
    "1_000",
    "+5",
    "-0",
    "1.50",
    "T",
    "nan",
    "NA",
    "None",
    "0x10",
]


@pytest.fixture(scope="module")
def dataset():
    some = Dataset.read("formation").select(range(len(IDS)))
    return Dataset.from_arrays(
        some.arrays, IDS, {ENERGY: some.values(ENERGY)}, {ENERGY: "eV/atom"}, name="few"
    )


@pytest.fixture(scope="module")
def cifs(dataset, tmp_path_factory):
    """A folder with 00123.cif and so on; 1e5 and 1E5 are one file on some systems."""
    folder = tmp_path_factory.mktemp("cifs") / "few"
    export_dataset(dataset.select([name != "1E5" for name in IDS]), folder)
    return folder


def column(path, name="material_id"):
    with path.open(newline="", encoding="utf-8") as file:
        return [row[name] for row in csv.DictReader(file)]


# ---- tables of properties


def written_table(folder, names, id_column, kind):
    columns = {id_column: names, "gap": [0.5 * k for k in range(len(names))]}
    path = folder / f"table.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        rows = "".join(f"{name},{gap!r}\n" for name, gap in zip(*columns.values(), strict=True))
        path.write_text(f"{id_column},gap\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("id_column", ["material_id", "mp_id"])
def test_a_table_beside_cifs(kind, id_column, cifs, tmp_path):
    names = [name for name in IDS if name != "1E5"][::-1]
    table = written_table(tmp_path, names, id_column, kind)
    imported = read(cifs, table=table, id_column=id_column).dataset
    assert imported.ids == names
    assert imported.values("gap").tolist() == [0.5 * k for k in range(len(names))]


def test_ids_that_are_all_digits(tmp_path):
    table = read_table(written_table(tmp_path, ["00123", "00007"], "id", "csv"), "id")
    assert table["material_id"].to_pylist() == ["00123", "00007"]


def test_ids_that_are_integers_in_parquet(tmp_path):
    table = read_table(written_table(tmp_path, [123, 7], "id", "parquet"), "id")
    assert table["material_id"].to_pylist() == ["123", "7"]


def test_other_columns_of_a_csv_with_ids_or_dates(tmp_path):
    (tmp_path / "t.csv").write_text(
        "material_id,icsd,day,time,count,zero,negative\n"
        "a,00123,2024-01-05,2024-01-05T10:00:00,12,0,-3\n"
        "b,,2024-01-06,2024-01-05T11:00:00,,10,3\n"
    )
    table = read_table(tmp_path / "t.csv")
    assert table["icsd"].to_pylist() == ["00123", None]
    assert table["day"].to_pylist() == ["2024-01-05", "2024-01-06"]
    assert table["time"].to_pylist() == ["2024-01-05T10:00:00", "2024-01-05T11:00:00"]
    assert table["count"].to_pylist() == [12, None]
    assert table["zero"].to_pylist() == [0, 10]
    assert table["negative"].to_pylist() == [-3, 3]


# ---- other places ids come from


def test_archives_of_arrays(dataset, tmp_path):
    arrays = dataset.arrays
    for ids in (np.array(IDS), np.array(IDS, dtype=object).astype("S")):
        np.savez(
            tmp_path / "structures.npz",
            ids=ids,
            lattice=arrays.lattices,
            offsets=arrays.offsets,
            numbers=arrays.numbers,
            frac=arrays.frac_coords,
        )
        assert read(tmp_path / "structures.npz").dataset.ids == IDS


@pytest.mark.parametrize("quote", ["", '"'])
def test_extended_xyz_of_another_program(quote, tmp_path):
    frame = (
        '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 {id} {key}={id}x gap=0.5 pbc="T T T"\n'
        "Po 0 0 0\n"
    )
    for key in ("material_id", "name"):
        frames = [
            frame.replace("{id}", f"{key}={quote}{name}{quote}", 1).format(key="code", id=name)
            for name in IDS
        ]
        (tmp_path / "x.xyz").write_text("".join(frames))
        dataset = read(tmp_path / "x.xyz", id_column=key).dataset
        assert dataset.ids == IDS
        assert dataset.values("gap").tolist() == [0.5] * len(IDS)
        assert dataset.labels("code") == [f"{name}x" for name in IDS]


def test_a_record_without_an_id_is_numbered(dataset, tmp_path):
    export_dataset(dataset.select([0, 1]), tmp_path / "list.json")
    records = json.loads((tmp_path / "list.json").read_text())
    records[1]["material_id"] = None
    (tmp_path / "list.json").write_text(json.dumps(records))
    assert read(tmp_path / "list.json").dataset.ids == ["00123", "1"]


def test_data_frames(dataset):
    pandas = pytest.importorskip("pandas")
    crystals = list(dataset)
    frame = pandas.DataFrame({"material_id": IDS, "gap": range(len(IDS))}, index=range(100, 100 + len(IDS)))
    made = Dataset.from_crystals(crystals, properties=frame)
    assert made.ids == IDS
    assert made.values("gap").tolist() == list(range(len(IDS)))
    numbered = Dataset.from_crystals(crystals, properties=frame.assign(material_id=frame.index))
    assert numbered.ids == [str(number) for number in range(100, 100 + len(IDS))]
    for missing in (None, float("nan")):
        with pytest.raises(CrystalliteError, match=r"crystal 1 .* has no id"):
            Dataset.from_crystals(crystals[:2], ["a", missing])


def test_a_dataset_file_with_integer_ids(dataset, tmp_path):
    numbers = pa.array(range(10**15, 10**15 + len(IDS)))
    pq.write_table(dataset.table.set_column(0, "material_id", numbers), tmp_path / "x.parquet")
    assert Dataset.read(tmp_path / "x.parquet").ids == [str(number) for number in numbers.to_pylist()]


# ---- lists, maps and parts


def test_lists_and_selections(dataset, tmp_path, capsys):
    dataset.write(tmp_path / "few.parquet")
    (tmp_path / "ids.txt").write_text("00123\n1e5\nnan\n")
    assert read_ids(tmp_path / "ids.txt") == ["00123", "1e5", "nan"]
    words = ["data", "select", tmp_path / "few.parquet", "--ids", tmp_path / "ids.txt"]
    said = Said(capsys, *words, "-o", tmp_path / "part.parquet")
    assert (said.status, said.err) == (0, "")
    assert Dataset.read(tmp_path / "part.parquet").ids == ["00123", "1e5", "nan"]


def test_maps_in_csv(tmp_path):
    (tmp_path / "map.csv").write_text("old,new\n00123,00456\n007,0\n5,\n")
    assert read_id_map(tmp_path / "map.csv") == {"00123": "00456", "007": "0"}
    pairs = pair_crystals(["00123", "007"], ["00456", "0"], read_id_map(tmp_path / "map.csv"))
    assert pairs.renamed == [("00123", "00456"), ("007", "0")]


# ---- what is written


def test_a_training_run_and_its_predictions(dataset, cifs, tmp_path, capsys):
    run = train(dataset, tmp_path / "run", epochs=1, batch_size=8, split="11/2/2").folder
    assert column(run / "split.csv") == IDS
    split = read_split(run / "split.csv", IDS)
    assert column(run / "test_predictions.csv") == [IDS[row] for row in split.test]
    for output in ("table.csv", "table.parquet"):
        assert Said(capsys, "predict", run, cifs, "-o", tmp_path / output).status == 0
    expected = sorted(name for name in IDS if name != "1E5")
    assert sorted(column(tmp_path / "table.csv")) == expected
    assert sorted(pq.read_table(tmp_path / "table.parquet")["material_id"].to_pylist()) == expected
