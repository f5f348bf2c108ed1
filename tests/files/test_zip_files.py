"""Archives written member by member: other programs read them, and the same members make the same bytes."""

from __future__ import annotations

import tarfile
import zipfile

import pytest

from crystallite.files.archives import tar_gz_writer, tar_writer, zip_writer

MEMBERS = {
    "mp-149_Si-Ge.cif": b"data_mp-149\n",
    "é.cif": b"",
    "x" * 180 + ".cif": bytes(range(256)) * 7,
    "exactly.cif": b"b" * 512,
}
WRITERS = {".tar": tar_writer, ".tar.gz": tar_gz_writer, ".zip": zip_writer}


def write(path, members, writer):
    with path.open("wb") as file, writer(file) as add:
        for name, content in members.items():
            add(name, content)
    return path


def read_tar(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("ending", WRITERS)
def test_members_come_back(ending, tmp_path):
    read = read_zip if ending == ".zip" else read_tar
    path = write(tmp_path / f"a{ending}", MEMBERS, WRITERS[ending])
    assert list(read(path).items()) == list(MEMBERS.items())
    assert write(tmp_path / f"b{ending}", MEMBERS, WRITERS[ending]).read_bytes() == path.read_bytes()
    assert read(write(tmp_path / f"c{ending}", {}, WRITERS[ending])) == {}


def test_zip_members_are_ordinary_files_of_1980(tmp_path):
    with zipfile.ZipFile(write(tmp_path / "a.zip", MEMBERS, zip_writer)) as archive:
        assert archive.testzip() is None
        for member in archive.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert member.external_attr >> 16 == 0o100644
            assert member.file_size == len(MEMBERS[member.filename])


def test_a_zip_of_more_members_than_its_first_format_counts(tmp_path):
    members = {f"{k}.cif": b"" for k in range(65_600)}
    with zipfile.ZipFile(write(tmp_path / "a.zip", members, zip_writer)) as archive:
        assert archive.namelist() == list(members)


def test_a_zip_beyond_4_gib(tmp_path):
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.seek(5 << 30)  # a hole, which takes no room on the disk
        with zip_writer(file) as add:
            for name, content in MEMBERS.items():
                add(name, content)
    assert read_zip(path) == MEMBERS
