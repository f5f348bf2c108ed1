"""Archives: rcgcnn's, Matbench's, pymatgen's and ASE's formats, and that they come back as they went."""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
from pathlib import Path

import ase.db
import ase.io
import msgpack
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Species, Structure

from crystallite.cli import cli
from crystallite.crystal import Crystal
from crystallite.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources import archive_stream
from crystallite.sources.archive_stream import open_archive
from crystallite.sources.archives import read_properties
from crystallite.sources.formats import ImportSettings, export_dataset, import_dataset
from crystallite.sources.known_properties import MODULI, with_known_names
from crystallite.sources.pymatgen_json import crystal_of, structure_dict

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
EXACT = ["cifs.msgpack", "cifs.msgpack.zstd", "cifs.bin.zst", "a-cifs.json", "cifs.json.zstd", "cifs.json.gz"]
EXACT += ["task.json.gz", "list.json", "list.json.zstd"]
AWKWARD_IDS = ["mp-1", "149", "007", "1e5", "T", "nan", "a b", 'é"\\{x}', "_JSON 1", "x=y"]


@pytest.fixture(scope="module")
def mixed():
    """Sixty real crystals with every kind of column, each with missing values, and ids hard to keep."""
    some = Dataset.read("elastic").select(range(60))
    every = range(60)
    ids = AWKWARD_IDS + [f"mp-{i}" for i in range(len(AWKWARD_IDS), 60)]
    columns = {
        "bulk_modulus": [None if i % 7 == 0 else v for i, v in enumerate(some.values("bulk_modulus"))],
        "count": [None if i % 5 == 0 else i * 10**15 for i in every],
        "is_metal": [None if i % 3 == 0 else i % 2 == 0 for i in every],
        "whole": [float(i) for i in every],
        "label": [None if i % 4 == 0 else AWKWARD_IDS[i % 10] for i in every],
    }
    return Dataset.from_arrays(some.arrays, ids, columns, {"bulk_modulus": "GPa"}, name="mixed")


@pytest.fixture(scope="module")
def properties():
    """The table of rcgcnn's first archive, notices, and the archive as it is."""
    path = SHARED / "rcgcnn" / "props.json.zstd"
    raw = json.loads(pa.input_stream(path, compression="zstd").read())
    return *read_properties(path), raw


def read(path, **settings):
    return import_dataset(str(path), ImportSettings(**settings))


def assert_same_columns(found, expected):
    names = expected.table.column_names[4:]
    assert found.ids == expected.ids
    assert set(found.table.column_names[4:]) == set(names)
    for name in names:
        assert found.table[name].type == expected.table[name].type, name
        assert found.table[name].to_pylist() == expected.table[name].to_pylist(), name


@pytest.mark.parametrize("name", EXACT)
def test_json_and_message_pack_come_back_bit_for_bit(tmp_path, mixed, name):
    export_dataset(mixed, tmp_path / name)
    imported = read(tmp_path / name, units={"bulk_modulus": "GPa"})
    assert imported.dataset.fingerprint == mixed.fingerprint
    assert_same_columns(imported.dataset, mixed)
    assert imported.bad == []


def test_what_rcgcnn_does_reads_our_archives(tmp_path):
    """One zstd frame that tells its length, msgpack.unpackb of all, Structure.from_dict of one."""
    some = Dataset.read("formation").select(range(5))
    export_dataset(some, tmp_path / "cifs.msgpack.zstd")
    data = (tmp_path / "cifs.msgpack.zstd").read_bytes()
    size = _zstd_content_size(data)
    cifs = msgpack.unpackb(pa.Codec("zstd").decompress(data, size, asbytes=True))
    for crystal, name in zip(some, some.ids, strict=True):
        structure = Structure.from_dict(cifs[name])
        np.testing.assert_array_equal(structure.frac_coords, crystal.frac_coords)
        np.testing.assert_array_equal(structure.lattice.matrix, crystal.lattice)
        np.testing.assert_array_equal(structure.atomic_numbers, crystal.numbers)


def _zstd_content_size(data):
    """The length in a frame's header (RFC 8878, 3.1.1.1): four bytes of magic, descriptor, length."""
    descriptor = data[4]
    n_bytes = {0: 1, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    assert descriptor & 0x20, "single segment: no window descriptor before the length"
    return int.from_bytes(data[5 : 5 + n_bytes], "little") + (256 if n_bytes == 2 else 0)


def test_a_folder_with_cifs_and_props_is_an_archive(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "cifs.bin")
    (tmp_path / "id_prop.csv").write_text("mp-1,1.0\n")  # rcgcnn's folder has the target of its last run
    assert_same_columns(read(tmp_path).dataset, mixed)
    (tmp_path / "cifs.json").write_text("{}")
    with pytest.raises(CrystalliteError, match=r"has cifs\.bin, cifs\.json"):
        read(tmp_path)


def test_units_are_known_or_announced_as_lost(tmp_path, mixed):
    formation = Dataset.read("formation").select(range(3))
    assert len(export_dataset(formation, tmp_path / "cifs.json")) == 1  # where the properties are
    assert read(tmp_path / "cifs.json").dataset.units == formation.units
    notices = export_dataset(mixed, tmp_path / "x.json")
    assert notices == ["units are not in the file: bulk_modulus (GPa); give them again with --unit"]


def test_only_the_target_is_written(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "x.json", "count")
    assert read(tmp_path / "x.json").dataset.properties == ["count"]
    with pytest.raises(CrystalliteError, match="no property 'counts'"):
        export_dataset(mixed, tmp_path / "x.json", "counts")


def test_extended_xyz_keeps_columns_ids_and_units(tmp_path, mixed):
    spaced = mixed.with_property("gap pbe = (x) [y]", np.linspace(0, 1, 60), "eV")
    export_dataset(spaced, tmp_path / "x.extxyz")
    found = read(tmp_path / "x.extxyz").dataset
    assert_same_columns(found, spaced)
    assert found.units == spaced.units
    assert_close(found, spaced)


def test_ase_databases_keep_columns_ids_and_units(tmp_path, mixed):
    plain = mixed.select(range(len(AWKWARD_IDS), 60)).with_property("label", [f"l{i}" for i in range(50)])
    export_dataset(plain, tmp_path / "x.db")
    found = read(tmp_path / "x.db").dataset
    assert_same_columns(found, plain)
    assert found.units == plain.units
    assert_close(found, plain)
    with pytest.raises(CrystalliteError, match="007: an ASE database cannot hold it"):
        export_dataset(mixed.select([1, 2]).with_property("label", ["a", "b"]), tmp_path / "y.db")
    with pytest.raises(CrystalliteError, match="no such names: energy"):
        export_dataset(plain.with_property("energy", np.zeros(50)), tmp_path / "y.db")
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def assert_close(found, expected):
    np.testing.assert_array_equal(found.arrays.lattices, expected.arrays.lattices)
    np.testing.assert_array_equal(found.arrays.numbers, expected.arrays.numbers)
    np.testing.assert_allclose(found.arrays.frac_coords, expected.arrays.frac_coords, atol=1e-14)


def test_what_ase_itself_writes(tmp_path):
    """Energies, arrays, missing ids, and data of a row, which is not touched, however broken."""
    atoms = [ase.Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=np.eye(3) * 5.6 + 0.1, pbc=True) for _ in "ab"]
    atoms[0].calc = ase.calculators.singlepoint.SinglePointCalculator(atoms[0], energy=-3.5)
    ase.io.write(tmp_path / "a.extxyz", atoms)
    with ase.db.connect(tmp_path / "a.db") as database:
        for one in atoms:
            database.write(one, gap=1.5, data={"spectrum": [1, 2]})
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE systems SET data = x'80054b2a2e'")  # a pickle
    for name, ids in (("a.extxyz", ["0", "1"]), ("a.db", ["1", "2"])):
        dataset = read(tmp_path / name).dataset
        assert dataset.ids == ids
        np.testing.assert_array_equal(dataset.values("energy"), [-3.5, np.nan])
        positions = dataset.crystal(0).frac_coords @ dataset.crystal(0).lattice
        np.testing.assert_allclose(positions, atoms[0].positions, atol=1e-14)
    assert read(tmp_path / "a.db").dataset.units == {"energy": "eV"}


def test_poscar_folders(tmp_path):
    some = list(Dataset.read("elastic").select(range(3)))
    for name, crystal in zip(("a/POSCAR", "POSCAR_b", "c.vasp"), some, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_poscar(tmp_path / name, crystal)
    (tmp_path / "a" / "CONTCAR").touch()  # a run that did not finish
    (tmp_path / "table.csv").write_text("material_id,gap\nb,1.5\na,2.5\nc,\n")
    dataset = read(tmp_path, table=tmp_path / "table.csv", units={"gap": "eV"}).dataset
    assert dataset.ids == ["b", "a", "c"]
    np.testing.assert_array_equal(dataset.values("gap"), [1.5, 2.5, np.nan])
    np.testing.assert_allclose(dataset.crystal(1).frac_coords, some[0].frac_coords, atol=1e-12)
    write_poscar(tmp_path / "a" / "CONTCAR", some[1])
    (tmp_path / "d.vasp").write_text("nonsense\n")
    with pytest.raises(CrystalliteError, match=r"d\.vasp: not a readable POSCAR"):
        read(tmp_path)
    imported = read(tmp_path, skip_bad=True)
    assert (
        imported.dataset.crystal(imported.dataset.ids.index("a")).numbers.tolist() == some[1].numbers.tolist()
    )
    assert "1 folders have POSCAR and CONTCAR" in imported.notices[0]
    (tmp_path / "CONTCAR-c").write_text("")
    with pytest.raises(CrystalliteError, match="would have the same id, c"):
        read(tmp_path)


def write_poscar(path, crystal):
    atoms = ase.Atoms(crystal.numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
    ase.io.write(path, atoms, format="vasp")


def test_without_the_extras_errors_say_what_to_install(tmp_path, monkeypatch, mixed):
    export_dataset(mixed, tmp_path / "cifs.msgpack")
    export_dataset(mixed, tmp_path / "x.xyz")
    for name in ("ase", "ase.io", "ase.db", "msgpack"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CrystalliteError, match=r"pip install 'crystallite\[archives\]'"):
        read(tmp_path / "cifs.msgpack")
    with pytest.raises(CrystalliteError, match=r"pip install 'crystallite\[ase\]'"):
        read(tmp_path / "x.xyz")


# ---- pymatgen's dictionaries


def test_structures_are_those_of_pymatgen():
    for crystal in Dataset.read("elastic").select(range(0, 1181, 60)):
        ours = structure_dict(crystal)
        symbols = [site["label"] for site in ours["sites"]]
        theirs = Structure(Lattice(crystal.lattice), symbols, crystal.frac_coords).as_dict()
        assert ours.keys() == theirs.keys()
        assert ours["sites"][0].keys() == theirs["sites"][0].keys()
        assert ours["lattice"].keys() == theirs["lattice"].keys()
        for key, value in theirs["lattice"].items():
            np.testing.assert_allclose(ours["lattice"][key], value, rtol=1e-12)
        for form in (theirs, json.dumps(theirs), Structure.from_dict(ours).to(fmt="cif")):
            assert crystal_of(form, "x").numbers.tolist() == crystal.numbers.tolist()


def test_species_with_charge_and_spin_are_elements():
    structure = Structure(Lattice.cubic(3), [Species("Fe", 3, spin=5), "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert crystal_of(structure.as_dict(), "x").numbers.tolist() == [26, 1]


def broken(**changes):
    return {**Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]]).as_dict(), **changes}


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]).as_dict(), "partial occupancy"),
        (broken(sites=[{"species": [{"element": "X", "occu": 1}], "abc": [0, 0, 0]}]), "unknown element X"),
        (
            broken(sites=[{"species": [{"element": ["X"], "occu": 1}], "abc": [0, 0, 0]}]),
            "as pymatgen writes",
        ),
        (broken(sites=[{"species": [{"element": "Fe", "occu": 1}], "xyz": [0, 0, 0]}]), "has no 'abc'"),
        (broken(sites=[{"species": [{"element": "Fe", "occu": 1}], "abc": [0, 0]}]), "three coordinates"),
        (broken(sites=[]), "no atoms"),
        (broken(sites=3), "as pymatgen writes"),
        (broken(lattice={"matrix": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}), "no volume"),
        (broken(lattice={"matrix": np.eye(3).tolist(), "pbc": [True, True, False]}), "not periodic"),
        (broken(lattice={"a": 3}), "has no 'matrix'"),
        (broken(lattice=None), "as pymatgen writes"),
        (None, "no structure"),
        ("{", "not JSON"),
        ("data_x", "no atoms"),
    ],
)
def test_what_is_no_crystal(structure, reason):
    with pytest.raises(CrystalError, match=reason) as caught:
        crystal_of(structure, "the source")
    assert caught.value.source == "the source"


def test_lists_of_bare_structures_and_one_structure(tmp_path):
    crystal = Dataset.read("elastic").crystal(3)
    (tmp_path / "bare.json").write_text(json.dumps([structure_dict(crystal)] * 2))
    (tmp_path / "one.json").write_text(json.dumps(structure_dict(crystal)))
    assert read(tmp_path / "bare.json").dataset.ids == ["0", "1"]
    assert read(tmp_path / "one.json").dataset.ids == ["one"]


def test_lists_as_the_materials_project_gives_them(tmp_path):
    """Names are ours, values that are no number are told of, the key of the ids can be chosen."""
    structure = structure_dict(Dataset.read("elastic").crystal(0))
    records = [
        {"task_id": "mp-1", "structure": structure, "efermi": 1.5, "symmetry": {"number": 1}},
        {"task_id": "mp-2", "structure": structure, "band_gap": 0, "lattice": 3},
    ]
    (tmp_path / "list.json").write_text(json.dumps(records))
    imported = read(tmp_path / "list.json", id_column="task_id")
    assert imported.dataset.ids == ["mp-1", "mp-2"]
    np.testing.assert_array_equal(imported.dataset.values("fermi_energy"), [1.5, np.nan])
    assert imported.dataset.units == {"fermi_energy": "eV", "band_gap": "eV"}
    assert imported.notices == [
        "left out, not one number or text a crystal: symmetry, lattice",
        "efermi is now fermi_energy",
    ]


@pytest.mark.parametrize("order", [("columns", "index", "data"), ("data", "index", "columns")])
def test_a_matbench_task_gets_our_names_and_units(tmp_path, order):
    """The file as matminer's store_dataframe_as_json makes it of pymatgen Structures."""
    structures = [Structure(Lattice.cubic(3 + i), ["Fe"], [[0, 0, 0]]).as_dict() for i in range(2)]
    task = {
        "index": [0, 1],
        "columns": ["structure", "log10(K_VRH)"],
        "data": [[structures[0], 1.5], [structures[1], 2.0]],
    }
    with gzip.open(tmp_path / "matbench_log_kvrh.json.gz", "wt") as file:
        json.dump({key: task[key] for key in order}, file)
    dataset = read(tmp_path / "matbench_log_kvrh.json.gz").dataset
    assert (dataset.ids, dataset.units) == (["0", "1"], {"log10_bulk_modulus": "log10(GPa)"})
    np.testing.assert_array_equal(dataset.values("log10_bulk_modulus"), [1.5, 2.0])
    assert dataset.crystal(1).lattice[0, 0] == 4


# ---- rcgcnn's properties


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


def test_moduli_nothing_is_known_of_are_kept():
    columns = {"k_vrh": [5.0, 4.0], "g_vrh": [4.5, 4.2]}
    table, notices = with_known_names(pa.table(columns))
    assert table.to_pydict() == columns
    assert "kept as they are" in notices[0]
    with_poisson = pa.table({**columns, "homogeneous_poisson": [0.1, 0.45]})
    assert "kept as they are" in with_known_names(with_poisson)[1][0]


# ---- what is malformed


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"", "neither a dictionary nor a list"),
        ("x.json", b"3", "neither a dictionary nor a list"),
        ("x.json", b'{"a": ', "JSON, character 6"),
        ("x.json", b'{"a" 1}', ": expected, found 1"),
        ("x.json", b"[1 2]", "or ] expected, found 2"),
        ("x.json", b"[" * 100_000, "recursion"),
        ("x.json", b'["\xff"]', "not text in UTF-8"),
        ("x.json", b"{}", "no crystals"),
        ("x.json", b"[]", "no crystals"),
        ("x.json", b'{"index": [], "columns": ["composition"], "data": []}', "no column structure"),
        ("x.json", b'{"index": [1], "columns": ["structure"], "data": []}', "do not fit together"),
        ("x.json", b'{"columns": ["structure"], "data": []}', "'index'"),
        ("x.json", b'{"data": [3]}', "row 1 of data is not a list"),
        ("x.json", b'{"mp-1": {"band_gap": 1.0}}', "holds properties, no crystals"),
        ("x.json", b'{"material_id": "mp-1"}\n{"material_id": "mp-2"}', "something follows its end"),
        ("x.msgpack", b"\x90\x90", "something follows its end"),
        ("x.msgpack", b"\x82\xa1a", "No more data to unpack"),
        ("x.msgpack", b"\xc1\xc1", "neither a dictionary nor a list"),
        ("x.msgpack", b"\xdf\xff\xff\xff\xff", "No more data to unpack"),
        ("x.msgpack", b"\x81\xa1a\xc1", "MessagePack, byte"),
        ("x.msgpack", b"\x81\xa1a" + b"\x91" * 100_000, "MessagePack, byte"),
        ("x.json.zstd", b"hello", "not a readable archive"),
        ("x.json.gz", b"hello", "not a readable archive"),
        ("x.db", b"hello", "not a readable ASE database"),
        ("x.xyz", b"hello", "not extended XYZ"),
        ("x.xyz", b'1\nLattice="1 0 0"\nH 0 0 0\n', "crystal 1: not extended XYZ"),
    ],
)
def test_malformed_files_are_errors_that_name_them(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CrystalliteError) as caught:
        read(tmp_path / name)
    message = str(caught.value).replace("x: no crystals", f"{name}: no crystals")
    assert name in message
    assert reason in message


@pytest.mark.parametrize("name", ["cifs.msgpack.zstd", "cifs.json", "list.json.gz"])
def test_a_file_cut_short_is_an_error(tmp_path, mixed, name):
    export_dataset(mixed, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for part in (0.1, 0.5, 0.999):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(CrystalliteError, match=f"{name}: not a readable archive"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["cifs.json.zstd", "cifs.json.gz", "cifs.msgpack.zstd"])
def test_decompression_bombs_are_refused(tmp_path, name):
    bomb = b"[" + b" " * (80 << 20) if "json" in name else b"\x81\xc6\x05\x00\x00\x00" + bytes(80 << 20)
    data = gzip.compress(bomb, 1) if name.endswith("gz") else pa.compress(bomb, "zstd", asbytes=True)
    assert len(data) < 400_000
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CrystalliteError, match="unpacks to more than 200 times its size"):
        read(tmp_path / name)


def test_one_enormous_value_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_stream, "LARGEST_VALUE", 1 << 21)
    (tmp_path / "x.json").write_text(json.dumps(["x" * (5 << 20)]))
    (tmp_path / "x.msgpack").write_bytes(msgpack.packb(["x" * (5 << 20)]))
    for name in ("x.json", "x.msgpack"):
        with pytest.raises(CrystalliteError, match="not a readable archive"):
            read(tmp_path / name)


def test_bad_crystals_are_listed_or_left_out(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "cifs.json")
    cifs = json.loads((tmp_path / "cifs.json").read_text())
    cifs["mp-20"]["sites"][0]["species"][0]["occu"] = 0.5
    del cifs["mp-30"]
    (tmp_path / "cifs.json").write_text(json.dumps({**cifs, "extra": cifs["mp-1"]}))
    with pytest.raises(
        CrystalliteError, match=r"2 of 60 .*\n.*cifs\.json, mp-20: partial occupancy"
    ) as caught:
        read(tmp_path / "cifs.json")
    assert "props.json, row 31 (mp-30): cifs.json has no crystal of this id" in str(caught.value)
    imported = read(tmp_path / "cifs.json", skip_bad=True)
    assert len(imported.bad) == 2
    assert imported.dataset.ids == [name for name in mixed.ids if name not in {"mp-20", "mp-30"}]
    assert "1 crystals without a row" in imported.notices[0]


def test_what_cannot_be_written_is_said(tmp_path, mixed):
    twice = mixed.select([0, 0])
    with pytest.raises(CrystalliteError, match="ids there more than once would share a place: mp-1"):
        export_dataset(twice, tmp_path / "cifs.json")
    with pytest.raises(CrystalliteError, match=r"name it data-cifs\.msgpack\.zstd"):
        export_dataset(mixed, tmp_path / "data.msgpack.zstd")
    with pytest.raises(CrystalliteError, match="another meaning for stress"):
        export_dataset(mixed.with_property("stress", np.zeros(60)), tmp_path / "x.xyz")
    with pytest.raises(CrystalliteError, match="is a dataset already"):
        export_dataset(mixed, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    export_dataset(twice, tmp_path / "list.json")
    assert read(tmp_path / "list.json").dataset.ids == ["mp-1", "mp-1"]
    with pytest.raises(CrystalliteError, match="has properties of its own"):
        read(tmp_path / "list.json", table=tmp_path / "table.csv")


def test_a_property_of_numbers_and_text_names_the_file(tmp_path):
    structure = structure_dict(Crystal(np.array([26], np.uint8), np.eye(3) * 3, np.zeros((1, 3))))
    records = [{"structure": structure, "x": 1}, {"structure": structure, "x": "one"}]
    (tmp_path / "list.json").write_text(json.dumps(records))
    with pytest.raises(CrystalliteError, match=r"list\.json: property x"):
        read(tmp_path / "list.json")


# ---- reading piece by piece

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    value=st.lists(json_values) | st.dictionaries(st.text(), json_values),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 50),
)
def test_json_in_pieces_is_json(tmp_path_factory, value, indent, ascii_only, chunk):
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), encoding="utf-8-sig")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_stream, "CHUNK", chunk)
        assert taken(path) == value


@given(value=st.lists(json_values) | st.dictionaries(st.text(), json_values))
def test_message_pack_in_pieces_is_message_pack(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.msgpack"
    value = json.loads(json.dumps(value), parse_int=lambda text: int(text) % 2**63)
    path.write_bytes(msgpack.packb(value))
    assert taken(path) == value


def taken(path):
    with open_archive(path) as reader:
        if reader.is_map():
            return {key: reader.value() for key in reader.members()}
        assert reader.is_list()
        return [reader.value() for _ in reader.elements()]


# ---- as a user meets it


def test_the_commands(tmp_path):
    runner = CliRunner()
    archive, data = str(tmp_path / "cifs.msgpack.zstd"), str(tmp_path / "data.parquet")
    exported = runner.invoke(cli, ["data", "export", "elastic", "-o", archive], catch_exceptions=False)
    assert exported.exit_code == 0, exported.output
    assert "1,181 crystals" in exported.output
    assert "properties are in" in exported.output
    imported = runner.invoke(cli, ["data", "import", archive, "-o", data], catch_exceptions=False)
    assert imported.exit_code == 0, imported.output
    elastic = Dataset.read("elastic")
    assert Dataset.read(data).fingerprint == elastic.fingerprint
    assert_same_columns(Dataset.read(data), elastic)
