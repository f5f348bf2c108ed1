"""Properties of rcgcnn's archives: names, units, and moduli stored in the wrong column or on a log scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from archive_files import read

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading.archive_properties import read_properties
from crystallite.sources.reading.known_properties import MODULI, with_known_names

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")


@pytest.fixture(scope="module")
def properties():
    """The table of rcgcnn's first archive, notices, and the archive as it is."""
    path = SHARED / "rcgcnn" / "props.json.zstd"
    raw = json.loads(pa.input_stream(path, compression="zstd").read())
    return *read_properties(path), raw


@needs_shared
def test_the_moduli_of_rcgcnn_are_put_right(properties):
    table, notices, raw = properties
    assert table.num_rows == 46632
    assert "k is the shear, g the bulk modulus here, in natural logarithms of GPa" in notices[0]
    place = table["material_id"].to_pylist().index("mp-22882")
    row = {name: table[name][place].as_py() for name in table.column_names}
    assert row["bulk_modulus"] == pytest.approx(np.exp(raw["mp-22882"]["g_vrh"]), rel=1e-14)
    assert row["log10_shear_modulus"] == pytest.approx(raw["mp-22882"]["k_vrh"] / np.log(10), rel=1e-14)
    assert row["shear_modulus_reuss"] == pytest.approx(np.exp(raw["mp-22882"]["k_reuss"]), rel=1e-14)
    units = {field.name: field.metadata[b"unit"].decode() for field in table.schema if field.metadata}
    assert units["fermi_energy"] == "eV"
    assert units["bulk_modulus"] == "GPa"
    assert units["log10_bulk_modulus"] == "log10(GPa)"
    assert "poisson_ratio" in table.column_names
    assert "above 1,000 GPa" in notices[1]


@needs_shared
def test_the_moduli_agree_with_the_materials_project_of_2023(properties):
    """The same crystals five years of corrections later: the median moves by about a percent."""
    from pyarrow import csv

    ours = properties[0]
    theirs = csv.read_csv(SHARED / "mp46k_cgcnn" / "props_gga2023.csv")
    known = dict(zip(theirs["material_id"].to_pylist(), theirs["k_vrh"].to_pylist(), strict=True))
    pairs = zip(ours["material_id"].to_pylist(), ours["bulk_modulus"].to_pylist(), strict=True)
    ratios = [value / known[name] for name, value in pairs if value and (known.get(name) or 0) > 0]
    assert len(ratios) == 4614
    assert abs(np.median(np.abs(np.log(ratios)))) < 0.015


@needs_shared
def test_the_second_archive_has_no_moduli(properties):
    table, notices = read_properties(SHARED / "rcgcnn" / "props_new.msgpack.zstd")
    assert notices[0].endswith("no values, left out")
    assert not MODULI & set(table.column_names)
    some = table.slice(0, 50).to_pylist()
    first = [properties[2][row["material_id"]] for row in some]
    assert [row["band_gap"] for row in some] == [row["band_gap"] for row in first]
    assert [row["fermi_energy"] for row in some] == [row["efermi"] for row in first]


@needs_shared
def test_properties_of_rcgcnn_as_table_of_other_crystals(tmp_path, properties):
    some = Dataset.read("formation").select(range(200))
    export_dataset(some, tmp_path / "cifs.json.zstd")
    (tmp_path / "props.json.zstd").unlink()
    known = set(properties[2]) & set(some.ids)
    settings = {
        "table": SHARED / "rcgcnn" / "props.json.zstd",
        "skip_bad": True,
        "units": {"band_gap": "meV"},
    }
    imported = read(tmp_path / "cifs.json.zstd", **settings)
    assert set(imported.dataset.ids) == known
    assert imported.dataset.units["energy_per_atom"] == "eV/atom"
    assert imported.dataset.units["band_gap"] == "meV"
    with pytest.raises(CrystalliteError, match="holds properties, no crystals"):
        read(SHARED / "rcgcnn" / "props.json.zstd")
    with pytest.raises(CrystalliteError, match="not an archive of properties"):
        read_properties(SHARED / "rcgcnn" / "t2m.json.zstd")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("scale", [lambda x: x, np.log, np.log10])
def test_every_way_to_store_moduli_is_recognised(swapped, scale):
    elastic = Dataset.read("elastic")
    names = ("g_vrh", "k_vrh") if swapped else ("k_vrh", "g_vrh")
    columns = {
        names[0]: scale(elastic.values("bulk_modulus")),
        names[1]: scale(elastic.values("shear_modulus")),
        "homogeneous_poisson": np.round(elastic.values("poisson_ratio"), 3),
    }
    table, notices = with_known_names(pa.table(columns))
    for name in ("bulk_modulus", "shear_modulus", "log10_bulk_modulus", "log10_shear_modulus"):
        np.testing.assert_allclose(table[name].to_numpy(), elastic.values(name), rtol=1e-13)
    assert ("k is the shear" in notices[0]) == swapped


@pytest.mark.parametrize(
    ("stored", "named", "said"),
    [
        (
            ["energy_per_atom"],
            ["energy_per_atom"],
            ["energy_per_atom is kept as it is, and the file does not say"],
        ),
        (
            ["final_energy_per_atom"],
            ["uncorrected_energy_per_atom"],
            ["final_energy_per_atom is now uncorrected_energy_per_atom"],
        ),
        (
            ["energy_per_atom", "uncorrected_energy_per_atom"],
            ["energy_per_atom", "uncorrected_energy_per_atom"],
            [],
        ),
        (
            ["energy_per_atom", "final_energy_per_atom"],  # both uncorrected: the old interface
            ["energy_per_atom", "uncorrected_energy_per_atom"],
            ["final_energy_per_atom is now", "energy_per_atom is kept as it is, and the file does not say"],
        ),
    ],
)
def test_energies_with_and_without_corrections_keep_apart(stored, named, said, tmp_path):
    some = Dataset.read("formation").select(range(3))
    dataset = Dataset.from_arrays(some.arrays, some.ids, {name: [-1.0, -2.0, -3.0] for name in stored})
    export_dataset(dataset, tmp_path / "list.json")
    imported = read(tmp_path / "list.json")
    assert imported.dataset.properties == named
    assert set(imported.dataset.units.values()) == {"eV/atom"}
    assert len(imported.notices) == len(said)
    assert all(start in notice for start, notice in zip(said, imported.notices, strict=True))


def test_a_table_with_energies_says_that_their_kind_is_not_known(tmp_path):
    some = Dataset.read("formation").select(range(3))
    export_dataset(some.with_property("y", [0.0, 1.0, 2.0]), tmp_path / "cifs", target="y")
    rows = "".join(f"{name},-1.5\n" for name in some.ids)
    (tmp_path / "props.csv").write_text(f"material_id,energy_per_atom\n{rows}")
    (notice,) = read(tmp_path / "cifs", table=tmp_path / "props.csv").notices
    assert "energy_per_atom is kept as it is" in notice


def test_moduli_nothing_is_known_of_are_kept():
    columns = {"k_vrh": [5.0, 4.0], "g_vrh": [4.5, 4.2]}
    table, notices = with_known_names(pa.table(columns))
    assert table.to_pydict() == columns
    assert "kept as they are" in notices[0]
    with_poisson = pa.table({**columns, "homogeneous_poisson": [0.1, 0.45]})
    assert "kept as they are" in with_known_names(with_poisson)[1][0]
