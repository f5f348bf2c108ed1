"""Tar and zip files that are damaged or lie: what stands before the damage is kept, nothing else happens."""

from __future__ import annotations

import gzip
import random
import tarfile
import zipfile
from contextlib import suppress

import pytest
from bundle_files import CIF, add, bad, good, one_file, packed, records_of

from crystallite.errors import CrystalliteError
from crystallite.sources.reading import bundles
from crystallite.sources.reading.structures import read_structures


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_before_the_damage_all_is_kept(ending, tmp_path):
    names = {f"{k}.cif": CIF + f"# {random.Random(k).randbytes(500).hex()}\n" for k in range(300)}
    path = packed(tmp_path / f"x{ending}", names)
    whole = path.read_bytes()
    for cut in (len(whole) // 3, len(whole) // 2, len(whole) * 3 // 4):
        path.write_bytes(whole[:cut])
        records, error = records_of(path)
        assert error.startswith(f"{path}: not a readable archive, or damaged: ")
        assert [record.id for record in records] == [str(k) for k in range(len(records))]
        assert len(records) < 300
        assert records or ending in {".tar.bz2", ".tar.xz"}  # whose first block may be all
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 1024] = b"\xaa" * 1024
    path.write_bytes(damaged)
    records, error = records_of(path)
    assert error
    assert len(records) < 300


def test_a_tar_file_cut_between_two_members(tmp_path):
    path = packed(tmp_path / "x.tar", {"a.cif": CIF, "b.cif": CIF})
    with tarfile.open(path) as archive:
        second = archive.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:second])
    records, error = records_of(path)
    assert [record.id for record in records] == ["a"]
    assert "the mark of its end is missing" in error


def test_damaged_encrypted_and_unknown_members_of_a_zip(tmp_path):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = packed(tmp_path / f"{method}.zip", {"a.cif": CIF, "b.cif": CIF, "c.cif": CIF}, method)
        assert good(path) == ["a", "b", "c"]
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            start = archive.infolist()[1].header_offset + 30 + 5
        content[start + 4 : start + 24] = b"\xff" * 20
        path.write_bytes(content)
        records, error = records_of(path)
        assert [record.id for record in records] == ["a", "b", "c"]
        assert error == ""
        assert list(bad(path)) == [f"{path}/b.cif"]
    for place, value, reason in ((6, 1, "password required"), (8, 99, "compression")):
        path = packed(tmp_path / "odd.zip", {"a.cif": CIF, "b.cif": CIF})
        content = bytearray(path.read_bytes())
        content[place] = value
        content[content.index(b"PK\1\2") + place + 2] = value
        path.write_bytes(content)
        assert reason in bad(path)[f"{path}/a.cif"]
        assert records_of(path)[0][1].id == "b"
    path.write_bytes(path.read_bytes()[:-40])
    assert "not a readable archive" in bad(path)[""]


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(bundles, "ALWAYS_UNPACKED", 3 << 20)
    large = bytes(2 << 20)
    for ending in (".tar.gz", ".zip"):
        path = packed(tmp_path / f"x{ending}", {"a.cif": large, "b.cif": CIF})
        assert bad(path) == {f"{path}/a.cif": f"more than {1 << 20:,} bytes"}
        assert records_of(path)[0][1].id == "b"
    path = packed(tmp_path / "y.tar.bz2", {"a.cif": CIF, "zeros": bytes(8 << 20), "b.cif": CIF})
    assert path.stat().st_size < 4000
    records, error = records_of(path)
    assert [record.id for record in records] == ["a"]
    assert "unpacks to more than 1,000 times its size" in error
    path = packed(tmp_path / "z.zip", {"a.cif.gz": gzip.compress(bytes(65 << 20)), "b.cif": CIF})
    assert "unpacks to more than" in bad(path)[f"{path}/a.cif.gz"]


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_names_of_any_length_are_not_believed(kind, tmp_path):
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 1 << 30
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, "a.cif", CIF)
        end = archive.offset
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:end] + header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    assert "damaged: a member of 1,073,741,824 bytes" in bad(tmp_path / "x.tar")[""]
    assert records_of(tmp_path / "x.tar")[0][0].id == "a"


def test_any_damage_ends_in_records_or_one_line(tmp_path):
    random_ = random.Random(0)
    for ending in (".tar", ".tar.gz", ".tar.xz", ".zip"):
        path = packed(tmp_path / f"x{ending}", {"a.cif": CIF, f"{'n' * 150}.cif": CIF, "ü/b.cif": CIF})
        whole = path.read_bytes()
        for _ in range(120):
            damaged = bytearray(whole)
            for _ in range(random_.randint(1, 4)):
                damaged[random_.randrange(len(whole))] = random_.randrange(256)
            path.write_bytes(damaged)
            with suppress(CrystalliteError):
                assert len(list(read_structures(*one_file(path)))) <= 4
