"""What is written where: links and devices stay, inputs are not replaced, names never become paths."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from crystallite.crystals.cif import read_cif
from crystallite.errors import CrystalError, CrystalliteError, WriteError
from crystallite.files.writing import (
    atomic_path,
    file_stem,
    file_stems,
    irregular,
    read_json,
    refuse_input,
    write_text,
)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "t.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    (tmp_path / "second.csv").symlink_to("link.csv")
    write_text(tmp_path / "second.csv", "new")
    assert (tmp_path / "second.csv").is_symlink()
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["t.csv"]


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link.csv").symlink_to("made.csv")
    write_text(tmp_path / "link.csv", "new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "made.csv").read_text() == "new"


@pytest.fixture
def odd(tmp_path) -> Path:
    """A folder with one of each that is no regular file, under the names of tables."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "null.csv").symlink_to("/dev/null")
    (tmp_path / "round.csv").symlink_to("round.csv")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket.csv"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("pipe.csv", "a named pipe"),
        ("folder.csv", "a folder"),
        ("null.csv", "a device"),
        ("socket.csv", "a socket"),
        ("round.csv", "Too many levels of symbolic links"),
        ("a" * 300, "File name too long"),
        (".", "a folder"),
        ("a\0b", "null"),
    ],
)
def test_what_is_no_file_is_neither_written_nor_read(name, what, odd):
    before = {path.name: path.lstat().st_mode for path in odd.iterdir()}
    with pytest.raises(WriteError, match=what):
        write_text(odd / name, "text")
    assert what in irregular(odd / name)
    assert {path.name: path.lstat().st_mode for path in odd.iterdir()} == before


def test_a_name_as_long_as_names_may_be(tmp_path):
    write_text(tmp_path / f"{'é' * 125}.csv", "text")
    assert (tmp_path / f"{'é' * 125}.csv").read_text() == "text"
    assert irregular(tmp_path / f"{'é' * 125}.csv") == ""


def test_a_name_that_cannot_have_a_temporary_name_beside_it(tmp_path):
    with atomic_path(tmp_path / ("." + "s" * 200)) as temporary:
        temporary.write_text("text")
    assert len(list(tmp_path.iterdir())) == 1


def test_inputs_are_known_under_every_name(tmp_path):
    data, folder = tmp_path / "d.parquet", tmp_path / "parts"
    folder.mkdir()
    for path in (data, folder / "0.parquet", folder / "id_prop.csv", folder / "predictions.csv"):
        path.write_text("data")
    (tmp_path / "link.parquet").symlink_to(data)
    os.link(data, tmp_path / "hard.parquet")
    for output in ("d.parquet", "link.parquet", "hard.parquet", "parts/../d.parquet"):
        with pytest.raises(CrystalliteError, match=r"--output .*: is the input"):
            refuse_input(tmp_path / output, ["elastic", data])
    for inputs in ([folder], [f"{folder}/*"], ["x" * 300, tmp_path / "*" / "*"]):
        for name in ("0.parquet", "id_prop.csv"):
            with pytest.raises(CrystalliteError, match="is the input"):
                refuse_input(folder / name, inputs)
    refuse_input(folder / "predictions.csv", [folder, "elastic"])
    refuse_input(folder / "1.parquet", [folder])


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a\\b", "a\0b", "\n", "x" * 300, "é" * 300, "a/../../b"]
)
def test_a_stem_is_never_a_path(name, tmp_path):
    path = tmp_path / f"parity_{file_stem(name)}.png"
    assert path.resolve().parent == tmp_path
    path.write_text("figure")


def test_stems_of_different_names_differ():
    assert file_stems(["band_gap", "a/b", "a b", "A-b", "a -> b"]) == [
        "band_gap",
        "a-b",
        "a-b-2",
        "A-b-3",
        "a-to-b",
    ]
    assert file_stems(["gap", "gap", "gap-2"]) == ["gap", "gap-2", "gap-2-2"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\ud800"])
def test_json_that_cannot_be_read(text, tmp_path):
    (tmp_path / "x.json").write_text(text, errors="surrogatepass")
    with pytest.raises(CrystalliteError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_a_pipe_among_cifs_is_named(tmp_path):
    os.mkfifo(tmp_path / "a.cif")
    (tmp_path / "b.cif").symlink_to("/dev/zero")
    for name, what in (("a.cif", "a named pipe"), ("b.cif", "a device")):
        with pytest.raises(CrystalError, match=f"cannot read the file: {what}, not a regular file"):
            read_cif(tmp_path / name)
