"""Pieces read elsewhere: bad crystals become rows, disks that fail stop the run; pieces are bounded."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import shutil
import subprocess
import tarfile
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from bundle_files import packed
from strategies import rock_salt

from crystallite.crystals import cif
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError, StorageError
from crystallite.sources import piece_reading, pieces
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.piece_reading import read_piece
from crystallite.sources.pieces import each_piece, identity, label, n_bytes
from crystallite.sources.resolver import located

TEXT = cif_text(rock_salt(5.6), "NaCl")


@pytest.fixture
def cifs(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.cif").write_text(TEXT)
    return folder


def failing(number: int):
    def read(path):
        raise OSError(number, os.strerror(number))

    return read


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_a_disk_that_fails_is_no_bad_crystal(cifs, monkeypatch, number):
    [piece] = each_piece(located(cifs))
    monkeypatch.setattr(cif, "_bytes", failing(number))
    with pytest.raises(CrystalliteError) as raised:
        list(read_piece(piece))
    assert not isinstance(raised.value, CrystalError)
    assert str(raised.value) == f"{cifs / 'a.cif'}: cannot read the file: {os.strerror(number)}"


def test_what_a_disk_does_not_give_is_a_bad_crystal_when_asked(cifs, tmp_path, monkeypatch):
    [piece] = each_piece(located(cifs))
    with monkeypatch.context() as patch:
        patch.setattr(cif, "_bytes", failing(errno.EIO))
        found = list(read_piece(piece, skip_unreadable=True))
    assert [one.crystal.reason for one in found] == ["cannot read the file: Input/output error"] * 3
    packed(tmp_path / "x.tar", {f"{k}.cif": TEXT for k in range(3)})
    [piece] = each_piece(located(tmp_path / "x.tar"))
    read, calls = piece_reading.bytes_at, iter(range(3))

    def once(*arguments):
        return failing(errno.EIO)(None) if next(calls) == 1 else read(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(piece_reading, "bytes_at", once)
        found = list(read_piece(piece, skip_unreadable=True))
    assert [isinstance(one.crystal, Crystal) for one in found] == [True, False, True]
    assert found[1].id == "1"
    assert str(found[1].crystal) == f"{tmp_path}/x.tar/1.cif: cannot read the file: Input/output error"
    calls = iter([1])
    with monkeypatch.context() as patch:
        patch.setattr(piece_reading, "bytes_at", once)
        with pytest.raises(CrystalliteError, match=r"x\.tar/0\.cif: .*Input/output error"):
            next(read_piece(piece))


@pytest.mark.parametrize("number", [errno.EUCLEAN, errno.EBADMSG, errno.EACCES])
def test_a_member_that_cannot_be_read_is_the_disks_fault(tmp_path, monkeypatch, number):
    packed(tmp_path / "x.tar", {"a.cif": TEXT})
    [piece] = each_piece(located(tmp_path / "x.tar"))
    monkeypatch.setattr(piece_reading, "bytes_at", lambda *_: failing(number)(None))
    with pytest.raises(StorageError, match=os.strerror(number)):
        list(read_piece(piece))
    [found] = read_piece(piece, skip_unreadable=True)
    assert found.crystal.reason.endswith(os.strerror(number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_limits_of_the_machine_stop_whatever_is_asked(cifs, monkeypatch, number):
    [piece] = each_piece(located(cifs))
    monkeypatch.setattr(cif, "_bytes", failing(number))
    with pytest.raises(StorageError, match=os.strerror(number)):
        list(read_piece(piece, skip_unreadable=True))


def test_a_file_that_may_not_be_read_is_a_bad_crystal(cifs, monkeypatch):
    [piece] = each_piece(located(cifs))
    monkeypatch.setattr(cif, "_bytes", failing(errno.EACCES))
    assert [isinstance(one.crystal, CrystalError) for one in read_piece(piece)] == [True] * 3


@pytest.mark.parametrize("name", ["cifs", "x.tar"])
def test_a_disk_that_fails_when_files_are_looked_at(cifs, tmp_path, monkeypatch, name):
    packed(tmp_path / "x.tar", {"a.cif": TEXT})
    source, status = located(tmp_path / name), os.stat

    def fail(path, *args, **options):
        if str(path).endswith((".cif", ".tar")):
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return status(path, *args, **options)

    monkeypatch.setattr(os, "stat", fail)
    for look in (identity, n_bytes, lambda source: [list(read_piece(one)) for one in each_piece(source)]):
        with pytest.raises(CrystalliteError, match="Stale file handle"):
            look(source)


def test_bad_crystals_keep_nothing_of_their_files(tmp_path):
    packed(tmp_path / "x.tar", {f"{k}.json": "[" + " " * 1_000_000 for k in range(10)})
    [piece] = each_piece(located(tmp_path / "x.tar"))
    tracemalloc.start()
    found = list(read_piece(piece))
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(isinstance(one.crystal, CrystalError) for one in found)
    assert kept < 1_000_000  # of 10 MB


def test_labels_tell_pieces_of_files_apart(cifs, monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 1)
    labels = [label(piece) for piece in each_piece(located(cifs))]
    assert labels == [f"files {k} to {k + 1} of several files" for k in range(3)]


def test_a_folder_that_a_worker_does_not_see(cifs):
    [piece] = each_piece(located(cifs))
    cifs.rename(cifs.parent / "elsewhere")
    with pytest.raises(CrystalliteError, match="cifs: cannot be seen from"):
        list(read_piece(piece))


def test_a_failing_disk_while_cutting_stops_too(cifs, tmp_path, monkeypatch):
    packed(tmp_path / "x.tar", {"a.cif": TEXT})

    def fail(*args, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(tarfile, "open", fail)
    with pytest.raises(CrystalliteError, match=r"x\.tar.*Input/output error"):
        list(each_piece(located(tmp_path / "x.tar")))
    [piece] = each_piece(located(tmp_path / "x.tar"), skip_unreadable=True)
    [found] = read_piece(piece, skip_unreadable=True)
    assert found.crystal.reason.endswith(": Input/output error")


# ---- tar files stay where they are


def test_members_of_a_plain_tar_are_not_carried(tmp_path):
    packed(tmp_path / "x.tar", {f"{k}.cif": TEXT + "#" * 10_000 for k in range(20)})
    packed(tmp_path / "x.tar.gz", {f"{k}.cif": TEXT + "#" * 10_000 for k in range(20)})
    [plain], [compressed] = (list(each_piece(located(tmp_path / f"x.tar{more}"))) for more in ("", ".gz"))
    assert len(pickle.dumps(plain)) < 5_000 < len(pickle.dumps(compressed))
    for one, other in zip(read_piece(plain), read_piece(compressed), strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.crystal.frac_coords, other.crystal.frac_coords)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_all_styles_of_tar(tmp_path, style):
    names = ["a.cif", "folder/" + "n" * 90 + ".cif", "l" * 120 + "/" + "m" * 90 + ".cif", "é/ü.cif"]
    with tarfile.open(tmp_path / "x.tar", "w", format=style) as bundle:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(TEXT)
            bundle.addfile(info, BytesIO(TEXT.encode()))
    found = [one for piece in each_piece(located(tmp_path / "x.tar")) for one in read_piece(piece)]
    assert [one.source for one in found] == [f"{tmp_path}/x.tar/{name}" for name in names]
    assert all(isinstance(one.crystal, Crystal) for one in found)


def with_header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A header of a tar file with the size as it is given, 12 bytes."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[156:157] = size, kind
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def test_sizes_of_twelve_digits(tmp_path):
    text = TEXT.encode()
    parts = [with_header(name, b"%012o" % len(text)) + padded(text) for name in ("a.cif", "b.cif")]
    (tmp_path / "x.tar").write_bytes(b"".join(parts) + bytes(1024))
    found = [one for piece in each_piece(located(tmp_path / "x.tar")) for one in read_piece(piece)]
    assert [one.id for one in found] == ["a", "b"]
    assert all(isinstance(one.crystal, Crystal) for one in found)


@pytest.mark.parametrize("name", ["b.txt", "b.cif"])
def test_a_negative_size_ends_a_tar(tmp_path, name):
    text, told = TEXT.encode(), b"14 size=-1536\n"
    parts = [with_header("a.cif", b"%011o\0" % len(text)) + padded(text)]
    parts += [with_header("x", b"%011o\0" % len(told), b"x") + padded(told)]
    parts += [with_header(name, b"%011o\0" % len(text)) + padded(text)]
    (tmp_path / "x.tar").write_bytes(b"".join(parts) + bytes(1024))
    found = [one for piece in each_piece(located(tmp_path / "x.tar")) for one in read_piece(piece)]
    assert [isinstance(one.crystal, Crystal) for one in found] == [True, False]
    assert "a member of -1,536 bytes" in found[1].crystal.reason


@pytest.mark.skipif(not shutil.which("tar"), reason="no tar")
def test_files_with_holes_do_not_hide_what_follows(tmp_path):
    with (tmp_path / "hole.cif").open("wb") as file:
        file.truncate(300_000)
    (tmp_path / "n.cif").write_text(TEXT)
    pack = ["tar", "-S", "-b1", "--format=gnu", "-cf", "x.tar", "hole.cif", "n.cif"]
    if subprocess.run(pack, cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("not GNU tar")
    found = [one for piece in each_piece(located(tmp_path / "x.tar")) for one in read_piece(piece)]
    assert {one.id: isinstance(one.crystal, Crystal) for one in found} == {"hole": False, "n": True}


def test_a_tar_cut_off_within_its_last_member(tmp_path):
    packed(tmp_path / "x.tar", {"a.cif": TEXT, "b.cif": TEXT})
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[: 512 + 512 * -(-len(TEXT) // 512) + 512 + 10])
    found = [one for piece in each_piece(located(tmp_path / "x.tar")) for one in read_piece(piece)]
    assert [isinstance(one.crystal, Crystal) for one in found] == [True, False]
    assert "unexpected end of data" in found[1].crystal.reason


def test_a_tar_that_shrinks_before_it_is_read(tmp_path):
    packed(tmp_path / "x.tar", {"a.cif": TEXT})
    [piece] = each_piece(located(tmp_path / "x.tar"))
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(CrystalliteError, match=r"x\.tar: has become shorter"):
        list(read_piece(piece))


# ---- no piece is too large for a process


@pytest.mark.parametrize("kind", ["cifs", "x.tar", "x.parquet", "x.db"])
def test_pieces_of_large_crystals_have_fewer(cifs, tmp_path, monkeypatch, kind):
    packed(tmp_path / "x.tar", {f"{name}.cif": TEXT for name in "abc"})
    dataset = Dataset.from_crystals([rock_salt(5.6)] * 3, list("abc"))
    dataset.write(tmp_path / "x.parquet")
    if kind == "x.db":
        from crystallite.sources.formats import export_dataset

        export_dataset(dataset, tmp_path / "x.db")
    [whole] = each_piece(located(tmp_path / kind))
    monkeypatch.setattr(pieces, "MOST_BYTES", 64 * len(rock_salt(5.6)))  # of one crystal
    few = list(each_piece(located(tmp_path / kind)))
    assert len(few) == 3 if kind != "x.db" else len(few) == 2
    expected = [(one.id, one.source) for one in read_piece(whole)]
    assert [(one.id, one.source) for piece in few for one in read_piece(piece)] == expected
