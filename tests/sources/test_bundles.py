"""Tar and zip files of structures are read in place as the files in them would be."""

from __future__ import annotations

import bz2
import gc
import gzip
import lzma
import stat
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from itertools import islice
from pathlib import Path

import ase.io
import numpy as np
import pytest
from archive_files import read
from bundle_files import CIF, OTHER, add, bad, good, packed, records_of
from grouped_runs import Said
from strategies import rock_salt

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading import bundles
from crystallite.sources.reading.bundles import each_member
from crystallite.sources.reading.structure_files import found_files, with_ids
from crystallite.sources.reading.structures import read_crystal, read_structures

ENDINGS = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".TAR", ".zip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of all kinds that a bundle may hold, made of real crystals."""
    folder = tmp_path_factory.mktemp("files")
    some = Dataset.read("elastic").select(range(12))
    crystals = [some.crystal(k) for k in range(12)]
    for name in ("x.cif", "a/x.cif", "a/b/y.CIF", "z.cif.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = cif_text(crystals.pop(), "c").encode()
        (folder / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (folder / "both.cif").write_text(f"{CIF}\n{OTHER}")
    (folder / "latin.cif").write_bytes(CIF.encode() + "# Universität\n".encode("latin-1"))
    for name in ("POSCAR_1", "runs/a/POSCAR", "runs/b/CONTCAR", "c.vasp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        crystal = crystals.pop()
        atoms = ase.Atoms(crystal.numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=1)
        ase.io.write(folder / name, atoms, format="vasp")
    named = Dataset.from_crystals(crystals, [f"id {k}" for k in range(len(crystals))])
    for name in ("n.extxyz", "n.json", "n-cifs.msgpack", "deep/n.json.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        export_dataset(named, folder / name)
    (folder / "bad.cif").write_text("data_x\n")
    (folder / "bad.json").write_text('{"a": 1}')
    (folder / "bad.xyz").write_text("99\nx\n")
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_members_are_read_as_the_files_would_be(ending, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    files = with_ids(path for path in found_files("**/*").paths)
    assert len(files) == 18
    bundle = packed(tmp_path / f"x{ending}", {str(file.path): file.path.read_bytes() for file in files})
    taken = bundles.TakenIds()
    expected = []
    for file in files:
        try:
            expected += [r._replace(id=taken.of(r.id, file.id)) for r in read_structures(file)]
        except CrystalliteError as error:
            expected.append((file.id, str(error).replace(str(file.path), f"{bundle}/{file.path}")))
    found, error = records_of(bundle)
    assert error == ""
    # POSCARs of folders come after what lies beside them
    assert [record.id for record in found] == [record[0] for record in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs[1], Crystal):
            for name in ("numbers", "lattice", "frac_coords"):
                np.testing.assert_array_equal(getattr(ours.crystal, name), getattr(theirs[1], name))
            assert ours.properties == theirs[2]
        else:
            reason = theirs[1] if isinstance(theirs[1], str) else f"{bundle}/{theirs[1]}"
            assert str(ours.crystal) == reason


def test_what_holds_no_structures_is_passed_over(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("./a.cif", "_b.cif", "d/_e/c.cif"):
            add(archive, name, CIF)
        for name in (
            ".h.cif",
            "._a.cif",
            ".git/a.cif",
            "__MACOSX/a.cif",
            "readme.txt",
            "x.npz",
            "in.tar",
            "..",
        ):
            add(archive, name, CIF)
        add(archive, "folder.cif", type=tarfile.DIRTYPE)
        add(archive, "link.cif", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "hard.cif", type=tarfile.LNKTYPE, linkname="a.cif")
        for kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
            add(archive, "device.cif", type=kind)
    assert good(tmp_path / "x.tar") == ["a", "_b", "c"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.cif", CIF)
        archive.writestr("__MACOSX/._a.cif", CIF)
        archive.writestr("folder.cif/", "")
        link = zipfile.ZipInfo("link.cif")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert good(tmp_path / "x.zip") == ["a"]


@pytest.mark.parametrize("ending", [".tar", ".zip"])
@pytest.mark.parametrize("content", [{}, {"readme.txt": "x", "x.db": "x"}])
def test_nothing_in_it(ending, content, tmp_path):
    path = packed(tmp_path / f"x{ending}", content)
    assert "no files with structures in it" in bad(path)[""]


def test_names_lead_nowhere_and_may_be_odd(tmp_path):
    long = "n" * 230
    names = [
        "../../up.cif",
        "/etc/root.cif",
        "a/../b.cif",
        "ü.cif",
        f"{long}.cif",
        "a b\tc.cif",
        "..cif/d.cif",
    ]
    for ending in (".tar", ".zip"):
        path = packed(tmp_path / f"x{ending}", dict.fromkeys(names, CIF))
        assert good(path) == ["up", "root", "b", "ü", long, "a b\tc"]
    (tmp_path / "y.tar").write_bytes((tmp_path / "x.tar").read_bytes().replace("ü".encode(), b"\xff\xfe"))
    assert good(tmp_path / "y.tar")[3] == r"\xff\xfe"
    with tarfile.open(tmp_path / "z.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "\xff.cif", CIF)
        add(archive, "\xfe.cif", "data_x\n")
    records, _ = records_of(tmp_path / "z.tar")
    assert [record.id for record in records] == [r"\xff", r"\xfe"]
    assert records[1].crystal.source == f"{tmp_path}/z.tar/\\xfe.cif"


def test_ids_are_unique_and_of_a_bare_poscar_the_folders(tmp_path):
    poscar = "x\n1\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    path = packed(tmp_path / "salts.tar.gz", dict.fromkeys(["POSCAR", "a/r/POSCAR", "b/r/POSCAR_x"], poscar))
    assert good(path) == ["salts", "r", "x"]
    path = packed(tmp_path / "s.zip", dict.fromkeys(["a/r/POSCAR", "b/r/POSCAR", "c/x.cif.gz"], poscar))
    records, _ = records_of(path)
    assert [record.id for record in records] == ["a/r", "b/r", "x"]
    assert "cannot be read" in records[2].crystal.reason  # it is not compressed
    xyz = '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nNa 0 0 0\n'
    assert good(packed(tmp_path / "t.tar", {"a.xyz": xyz * 2, "b.xyz": xyz})) == ["0", "1", "b:0"]


@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_the_relaxed_structure_counts(ending, tmp_path):
    poscar = "x\n{}\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    first, last = poscar.format(1), poscar.format(2)
    members = {
        "a/CONTCAR": last,
        "a/x.cif": CIF,
        "a/POSCAR": first,
        "b/POSCAR": first,
        "b/INCAR": "",
        "b/CONTCAR": last,
        "c/POSCAR": first,
        "c/CONTCAR": "",
        "d/CONTCAR": "",
    }
    path = packed(tmp_path / f"x{ending}", members)
    records, _ = records_of(path)
    assert [record.id for record in records] == ["x", "a", "b", "c", "d"]
    lengths = [record.crystal.lattice[0, 0] for record in records[1:4]]
    assert lengths == [8, 8, 4]
    assert "line 1" in bad(path)[f"{path}/d/CONTCAR"]
    if ending == ".tar":
        path.write_bytes(path.read_bytes()[: 512 * 9])  # in b: its POSCAR is whole
        records, error = records_of(path)
        assert [record.id for record in records] == ["x", "a", "b"]
        assert "damaged" in error


def test_several_streams_of_gzip_are_one(tmp_path):
    packed(tmp_path / "x.tar", {f"{k}.cif": CIF for k in range(9)})
    whole = (tmp_path / "x.tar").read_bytes()
    parts = (whole[:3000], whole[3000:])
    for ending, compress in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        (tmp_path / f"y.tar.{ending}").write_bytes(b"".join(map(compress, parts)))
        assert len(good(tmp_path / f"y.tar.{ending}")) == 9


def test_memory_does_not_grow_with_the_members(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(5000):
            archive.members = []
            add(archive, f"{number}.cif", b"data_x\n")
    with path.open("rb") as file:
        assert sum(1 for _ in islice(each_member(file, path.name), 4000)) == 4000
        members = each_member(file, path.name)
        for _ in range(4000):
            next(members)
        alive = sum(issubclass(type(one), tarfile.TarInfo) for one in gc.get_objects())
        tracemalloc.start()
        try:
            assert sum(1 for _ in members) == 1000
            # pathlib interns names: the table of those is not the bundle's
            traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, "*/pathlib*")])
        finally:
            tracemalloc.stop()
    assert alive < 10
    assert sum(trace.size for trace in traces.traces) < 100_000


def test_notices_and_errors_name_bundle_and_member(tmp_path):
    odd = CIF.replace("_symmetry_Int_Tables_number", "_x")
    path = packed(tmp_path / "x.zip", {"d/bad.cif": "data_x\n", "d/l.jsonl": "{}\n{}\n", "odd.cif": odd})
    told = bad(path)
    assert f"{path}/d/bad.cif" in told
    assert all(source.startswith(f"{path}/d/") for source in told)


def test_as_one_crystal(tmp_path):
    assert len(read_crystal(packed(tmp_path / "x.tar", {"a.cif": CIF}))) == 8
    with pytest.raises(CrystalError, match="several"):
        read_crystal(packed(tmp_path / "y.zip", {"a.cif": CIF, "b.cif": CIF}))


# ---- commands


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = {"cifs/a.cif": CIF, "cifs/b.cif": OTHER, "cifs/readme.txt": "x"}
    for name in ("x.tar.gz", "x.zip"):
        packed(Path(name), members)
    Path("t.csv").write_text("name,gap\nb,1.5\na.cif,2.5\n")
    return tmp_path


@pytest.mark.parametrize("bundle", ["x.tar.gz", "x.zip"])
def test_predict_and_import(bundle, here, capsys):
    said = Said(capsys, "predict", "band_gap", bundle)
    assert (said.status, [line.split(",")[0] for line in said.out.splitlines()]) == (
        0,
        ["material_id", "a", "b"],
    )
    said = Said(capsys, "data", "import", bundle, "-o", "d.parquet")
    assert said.status == 0, said.err
    assert Dataset.read("d.parquet").ids == ["a", "b"]
    words = ("data", "import", bundle, "--table", "t.csv", "--id-column", "name", "-o", "e.parquet")
    said = Said(capsys, *words)
    assert said.status == 0, said.err
    dataset = Dataset.read("e.parquet")
    assert (dataset.ids, dataset.values("gap").tolist()) == (["b", "a"], [1.5, 2.5])
    assert [crystal.numbers[0] for crystal in dataset] == [3, 11]
    assert dataset.name == "e"
    assert read(bundle).dataset.name == "x"


def test_tables_beside_bundles(here):
    Path("t.csv").write_text("material_id,y\na,1\nc,2\n")
    with pytest.raises(CrystalliteError, match=r"t\.csv, line 3 \(c\): there is no file c\.cif"):
        read("x.zip", table="t.csv")
    imported = read("x.zip", table="t.csv", skip_bad=True)
    assert imported.dataset.ids == ["a"]
    assert "1 CIFs without a row in t.csv are left out: b" in imported.notices[0]
    packed(Path("same.tar"), {"p/x.cif": CIF, "q/x.cif": OTHER})
    Path("t.csv").write_text("material_id,y\nq/x,1\n")
    assert read("same.tar", table="t.csv").dataset.crystal(0).numbers[0] == 3
    packed(Path("y.tar"), {"a.json": "{}"})
    with pytest.raises(CrystalliteError, match=r"--table t\.csv: files such as a\.json have properties"):
        read("y.tar", table="t.csv")
    packed(Path("empty.tar"), {})
    with pytest.raises(CrystalliteError, match="no files with structures in it"):
        read("empty.tar", table="t.csv")
    with pytest.raises(CrystalliteError, match=r"files such as .* have properties of their own"):
        read("x.*", table="t.csv")


def test_properties_of_members_and_their_ids(here):
    lines = [f'{{"id": "{name}", "y": {y}, "structure": {_structure()}}}' for name, y in (("q", 2), ("r", 3))]
    packed(Path("y.zip"), {"l.jsonl": "\n".join(lines), "a.cif": CIF})
    dataset = read("y.zip", id_column="id").dataset
    assert dataset.ids == ["q", "r", "a"]
    np.testing.assert_array_equal(dataset.values("y"), [2, 3, np.nan])


def _structure() -> str:
    import json

    from crystallite.sources.reading.pymatgen_json import structure_dict

    return json.dumps(structure_dict(rock_salt(5.6)))


@pytest.mark.skipif(sys.platform == "win32", reason="tar of GNU")
def test_files_of_other_programs(folder, tmp_path):
    subprocess.run(["tar", "-czf", tmp_path / "x.tgz", "-C", folder, "."], check=True)
    found, error = records_of(tmp_path / "x.tgz")
    assert error == ""
    assert {"x", "a/x", "y", "z", "both:NaCl", "a", "b"} <= {record.id for record in found}
