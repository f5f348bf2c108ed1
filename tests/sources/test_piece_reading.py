"""Pieces read elsewhere: bad crystals become rows, disks that fail stop the run; pieces are bounded."""

from __future__ import annotations

import errno
import os
import pickle
import tarfile
from io import BytesIO

import numpy as np
import pytest
from strategies import rock_salt
from test_bundles import packed

from crystallite.crystals import cif
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources import pieces
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.piece_reading import read_piece
from crystallite.sources.pieces import each_piece
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


def test_a_file_that_may_not_be_read_is_a_bad_crystal(cifs, monkeypatch):
    [piece] = each_piece(located(cifs))
    monkeypatch.setattr(cif, "_bytes", failing(errno.EACCES))
    assert [isinstance(one.crystal, CrystalError) for one in read_piece(piece)] == [True] * 3


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
