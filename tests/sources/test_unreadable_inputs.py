"""Files and folders that the system does not let us read end in one line with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from grouped_runs import Said
from strategies import rock_salt

from crystallite.sources.exporters.published_layout import cif_text

NO_PERMISSIONS = getattr(os, "geteuid", lambda: 0)() == 0  # root reads everything


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cifs/a.cif", "pub/a.cif", "below/run/POSCAR", "a.cif"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(cif_text(rock_salt(5.6), "a"))
    Path("pub/id_prop.csv").write_text("a,1\n")
    Path("t.csv").write_text("material_id,y\na,1\n")
    return tmp_path


@pytest.mark.skipif(NO_PERMISSIONS, reason="permissions do not hold for root")
@pytest.mark.parametrize(
    ("closed", "words", "message"),
    [
        ("cifs", "data import cifs", "cifs: cannot read the folder: Permission denied"),
        ("cifs", "train cifs --target y", "cifs: cannot read the folder: Permission denied"),
        ("pub", "data info pub", "pub: cannot read the folder: Permission denied"),
        ("pub/id_prop.csv", "data import pub", "pub/id_prop.csv: cannot be read: Permission denied"),
        ("pub/id_prop.csv", "train pub --target y", "pub/id_prop.csv: cannot be read: Permission denied"),
        ("below/run", "data import below", "below/run/POSCAR: cannot read the file: Permission denied"),
        ("a.cif", "data import a.cif", "a.cif: cannot read the file: Permission denied"),
    ],
)
def test_permissions(closed, words, message, here, capsys):
    Path(closed).chmod(0)
    try:
        said = Said(capsys, *words.split(), *(["-o", "x.parquet"] if "import" in words else []))
    finally:
        Path(closed).chmod(0o755)
    assert said.status == 1
    assert message in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("words", ["data info {}", "data import {} -o x.parquet", "train {} --target y"])
@pytest.mark.parametrize("name", ["n" * 300 + ".cif", "n" * 5000, "folder/" * 1000, "loop", "loop/x.cif"])
def test_names_that_the_system_refuses(words, name, here, capsys):
    Path("loop").symlink_to("loop")
    said = Said(capsys, *(word.format(name) for word in words.split()))
    assert said.status == 1
    assert said.err.startswith("Error: ")
    assert "Traceback" not in said.err
