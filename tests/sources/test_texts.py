"""Texts that lie in no file are read as the files would be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crystallite
from crystallite.crystals.crystal import Crystal
from crystallite.errors import CrystalError
from crystallite.serve.app import HERE
from crystallite.sources.reading.pymatgen_json import structure_dict
from crystallite.sources.reading.record import Record
from crystallite.sources.reading.structure_files import StructureFile, with_ids
from crystallite.sources.reading.structures import read_structures
from crystallite.sources.reading.texts import StructureText, different_names, file_name, read_text

CIF = (HERE / "examples" / "quartz.cif").read_text()
POSCAR = "NaCl\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
XYZ = '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nNa 0 0 0\nCl 2.5 2.5 2.5\n'


def pymatgen_json() -> str:
    return json.dumps(structure_dict(crystallite.Dataset.read("elastic").crystal(3)))


def texts() -> list[tuple[str, str]]:
    structure = pymatgen_json()
    return [
        ("quartz.cif", CIF),
        ("two.cif", CIF + CIF.replace("data_quartz", "data_other")),
        ("POSCAR", POSCAR),
        ("salt.vasp", POSCAR),
        ("CONTCAR_2", POSCAR),
        ("salt.extxyz", XYZ + XYZ),
        ("one.json", structure),
        ("many.json", f'{{"a": {structure}, "b": {structure}}}'),
        ("lines.jsonl", f"{structure}\n{structure}\n"),
        ("bad.cif", "data_x\n"),
        ("bad.vasp", "x\n1\n"),
        ("bad.xyz", "99\nx\n"),
        ("bad.json", "{"),
        ("bad.json", '{"a": 1}'),
    ]


def read_until_error(file: StructureFile) -> tuple[list[Record], str]:
    """The records of a file, and why it cannot be read further, if so."""
    records = []
    try:
        for record in read_structures(file):
            records.append(record)
    except crystallite.CrystalliteError as error:
        return records, str(error)
    return records, ""


@pytest.mark.parametrize("number", range(14))
def test_a_text_is_read_as_the_file_of_its_name(number: int, tmp_path: Path) -> None:
    name, text = texts()[number]
    folder = tmp_path / "POSCAR"  # the id of a bare POSCAR is the name of its folder
    folder.mkdir()
    (folder / name).write_text(text)
    [file] = with_ids([folder / name])
    found = list(read_text(StructureText(name, text)))
    expected, error = read_until_error(file)
    if error:
        assert str(found.pop().crystal) == error.replace(str(folder / name), name)
    assert [one.id for one in found] == [one.id for one in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs.crystal, CrystalError):
            assert isinstance(ours.crystal, CrystalError)
            assert ours.crystal.reason == theirs.crystal.reason
        else:
            np.testing.assert_array_equal(ours.crystal.frac_coords, theirs.crystal.frac_coords)
            np.testing.assert_array_equal(ours.crystal.numbers, theirs.crystal.numbers)
            np.testing.assert_array_equal(ours.crystal.lattice, theirs.crystal.lattice)


@pytest.mark.parametrize("number", [0, 2, 5, 6, 8])
def test_the_text_tells_its_format_where_the_name_does_not(number: int) -> None:
    name, text = texts()[number]
    named = list(read_text(StructureText(name, text)))
    for unnamed in ("", "structure", "structure.txt"):
        found = list(read_text(StructureText(unnamed, text)))
        assert len(found) == len(named)
        for ours, theirs in zip(found, named, strict=True):
            np.testing.assert_array_equal(ours.crystal.frac_coords, theirs.crystal.frac_coords)


@pytest.mark.parametrize("name", ["a.db", "a.npz", "a.cif.gz", "a.msgpack"])
def test_what_is_no_text_is_refused(name: str) -> None:
    [record] = read_text(StructureText(name, "x"))
    assert "no text" in record.crystal.reason


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("../../etc/passwd.cif", "passwd.cif"),
        ("C:\\Users\\me\\x.cif", "x.cif"),
        ("", "crystal"),
        ("..", "crystal"),
        ("a\nb\x1b.cif", "ab.cif"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_only_the_last_part_of_a_name_is_kept(given_name: str, kept: str) -> None:
    assert file_name(given_name) == kept


@given(st.lists(st.text(max_size=8), max_size=8))
def test_names_become_different_and_stay_so(names: list[str]) -> None:
    found = different_names(names)
    assert len(set(found)) == len(names)
    assert different_names(found) == found


@given(st.text(), st.sampled_from(["", "x.cif", "POSCAR", "x.xyz", "x.json"]))
def test_any_text_gives_records_and_no_exception(text: str, name: str) -> None:
    for record in read_text(StructureText(name, text)):
        assert isinstance(record.crystal, Crystal | CrystalError)
