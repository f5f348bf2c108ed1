"""Inputs cut into pieces give the crystals that `predict` reads, each once and in the same order."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from strategies import rock_salt
from test_bundles import packed

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources import pieces
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.formats import export_dataset
from crystallite.sources.piece_reading import read_piece
from crystallite.sources.pieces import each_piece, identity, n_bytes
from crystallite.sources.reading.pymatgen_json import structure_dict
from crystallite.sources.reading.structure_files import with_ids
from crystallite.sources.reading.structures import read_structures
from crystallite.sources.resolver import located

FRAME = (
    '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nNa 0 0 0\nCl 2.5 2.5 2.5\n'
)
STRUCTURE = structure_dict(rock_salt(5.6))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 3)
    monkeypatch.setattr(pieces, "SMALL_FILE", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of every kind, each with the same ten real crystals."""
    folder = tmp_path_factory.mktemp("inputs")
    some = Dataset.read("elastic").select(range(10))
    for name in ("x.jsonl.gz", "x.json", "x-cifs.msgpack", "x.extxyz", "x.db", "task.json.gz", "x.parquet"):
        some.write(folder / name) if name == "x.parquet" else export_dataset(some, folder / name)
    records = [{"material_id": some.ids[k], "structure": structure_dict(some.crystal(k))} for k in range(10)]
    lines = "\n".join(map(json.dumps, records)) + "\n"
    (folder / "x.jsonl").write_text(lines)
    (folder / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "f.extxyz.gz").write_bytes(gzip.compress((folder / "x.extxyz").read_bytes()))
    arrays = some.arrays
    np.savez(
        folder / "x.npz",
        ids=some.ids,
        lattice=arrays.lattices,
        offsets=arrays.offsets,
        numbers=arrays.numbers,
        frac=arrays.frac_coords,
    )
    for part in (range(4), range(4, 10)):
        (folder / "parts").mkdir(exist_ok=True)
        some.select(part).write(folder / "parts" / f"{part[0]}.parquet")
    texts = {f"{some.ids[k]}.cif": cif_text(some.crystal(k), some.ids[k]) for k in range(10)}
    for where in ("cifs", "mixed/a", "mixed/b"):
        (folder / where).mkdir(parents=True)
        for name, text in texts.items():
            (folder / where / name).write_text(text)
    (folder / "mixed/a/m.jsonl").write_text(lines)
    (folder / "mixed/b/m.extxyz").write_bytes((folder / "x.extxyz").read_bytes())
    packed(folder / "x.tar", texts)
    packed(folder / "x.zip", texts)
    return folder


def found_in(word: str | Path) -> list:
    """What the pieces of an input hold; they are cut the same twice and cross a border of processes."""
    source = located(word)
    found, parts = [], list(each_piece(source))
    again = list(each_piece(source))
    assert [pickle.dumps(piece) for piece in parts] == [pickle.dumps(piece) for piece in again]
    done = [piece.done for piece in parts]
    assert done == sorted(done)
    assert done[0] >= 0
    assert done[-1] == 1
    for piece in parts:
        inside = list(read_piece(pickle.loads(pickle.dumps(piece))))
        assert len(inside) <= 3 or piece.kind == "members"
        found += inside
    return found


def told(found: list) -> list[str]:
    """What is told of crystals that cannot be used."""
    return [f"{one.source}: {one.crystal.reason}" for one in found if isinstance(one.crystal, CrystalError)]


def expected_of(word: str | Path) -> list:
    source = located(word)
    if source.kind == "dataset":
        dataset = Dataset.read(word)
        return [(name, dataset.crystal(row)) for row, name in enumerate(dataset.ids)]
    return [(one.id, one.crystal) for file in with_ids(source.files.paths) for one in read_structures(file)]


def assert_same(found: list, expected: list) -> None:
    assert [one.id for one in found] == [name for name, _ in expected]
    for one, (_, crystal) in zip(found, expected, strict=True):
        for name in ("numbers", "lattice", "frac_coords"):
            np.testing.assert_array_equal(getattr(one.crystal, name), getattr(crystal, name))


INPUTS = {
    "cifs": 10,
    "x.tar": 10,
    "x.zip": 10,
    "x.jsonl": 10,
    "x.jsonl.gz": 10,
    "x.extxyz": 10,
    "f.extxyz.gz": 10,
    "x.json": 10,
    "task.json.gz": 10,
    "x.db": 10,
    "x.npz": 10,
    "x-cifs.msgpack": 10,
    "x.parquet": 10,
    "parts": 10,
    "mixed/**/*": 40,
    "x.*": 80,
}


@pytest.mark.parametrize("word", INPUTS)
def test_pieces_hold_what_predict_reads(word, folder, monkeypatch):
    monkeypatch.chdir(folder)
    found, expected = found_in(word), expected_of(word)
    assert len(expected) == INPUTS[word]
    assert_same(found, expected)
    monkeypatch.setattr(pieces, "SMALL_FILE", 1 << 20)
    assert_same([one for piece in each_piece(located(word)) for one in read_piece(piece)], expected)


def test_a_built_in_dataset(monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 500)
    parts = list(each_piece(located("elastic")))
    assert [len(list(read_piece(piece))) for piece in parts] == [500, 500, 181]
    assert_same([one for piece in parts for one in read_piece(piece)], expected_of("elastic"))
    [*_, last] = read_piece(parts[-1])
    assert last.source == "builtin:elastic, row 1181"


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("cifs", "cifs/{}.cif"),
        ("x.tar", "x.tar/{}.cif"),
        ("x.jsonl", "x.jsonl, element 5"),
        ("x.extxyz", "x.extxyz, crystal 5"),
        ("x.json", "x.json"),
    ],
)
def test_sources_say_where_a_crystal_stands(word, source, folder, monkeypatch):
    monkeypatch.chdir(folder)
    one = sorted(found_in("cifs"), key=lambda one: one.id)[4] if word in {"cifs", "x.tar"} else None
    found = found_in(word)
    chosen = found[4] if one is None else next(other for other in found if other.id == one.id)
    assert chosen.source == source.format(chosen.id)


# ---- JSON lines


def lines_of(*values) -> str:
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)


NAN = {"id": "nan", "gap": float("nan"), "structure": STRUCTURE}


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson.gz"])
@pytest.mark.parametrize(
    "text",
    [
        lines_of(*[STRUCTURE] * 7),
        lines_of(STRUCTURE, "", "  ", STRUCTURE, STRUCTURE, "", STRUCTURE, ""),
        lines_of(*[NAN] * 4).replace("\n", "\r\n"),
        "\ufeff" + lines_of(*[STRUCTURE] * 4),
        lines_of(STRUCTURE, {"structure": {**STRUCTURE, "lattice": 3}}, NAN, {"a": 1}, STRUCTURE),
        json.dumps([STRUCTURE] * 4),
        json.dumps({"a": STRUCTURE, "b": STRUCTURE}),
        json.dumps(STRUCTURE, indent=1),
    ],
)
def test_json_lines(text, ending, tmp_path):
    path = tmp_path / f"x{ending}"
    content = text.encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    found, expected = found_in(path), expected_of(path)
    assert len(found) > 0
    assert [one.id for one in found] == [name for name, _ in expected]
    for one, (_, crystal) in zip(found, expected, strict=True):
        assert str(one.crystal) == str(crystal)


def test_a_bad_line_is_one_bad_crystal(tmp_path):
    path = tmp_path / "x.jsonl"
    odd = ['{"a": ', "\x00\x01", "9" * 5000, "[" * 100_000, '"text"', "[]"]
    path.write_text(lines_of(STRUCTURE, *odd, STRUCTURE))
    found = found_in(path)
    assert [one.id for one in found] == list("01234567")
    assert [isinstance(one.crystal, Crystal) for one in found] == [True, *[False] * 6, True]
    assert told(found)[0].startswith(f"{path}, element 2: not JSON: ")
    path.write_bytes(lines_of(STRUCTURE).encode() + b'\n{"a": "\xff"}\n')
    assert [isinstance(one.crystal, Crystal) for one in found_in(path)] == [True, False]


def test_a_line_of_too_many_items(tmp_path, monkeypatch):
    from crystallite.sources.reading import archive_records

    monkeypatch.setattr(archive_records, "MOST_ITEMS", 10_000)
    (tmp_path / "x.jsonl").write_text(lines_of(STRUCTURE, "[" + "1," * 20_000 + "1]"))
    assert told(found_in(tmp_path / "x.jsonl"))[0].endswith("element 2: it has more than 10,000 items")


def test_a_damaged_end_is_one_bad_entry(tmp_path):
    rng = np.random.default_rng(0)
    lines = lines_of(*[{"note": rng.bytes(300).hex(), "structure": STRUCTURE} for _ in range(3000)])
    whole = gzip.compress(lines.encode())
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    found = found_in(path)
    assert 50 < len(found) < 3000
    assert len(told(found)) == 1
    assert isinstance(found[-1].crystal, CrystalError)
    bundle = packed(tmp_path / "x.tar", {f"{k}.cif": cif_text(rock_salt(5.6), "NaCl") for k in range(8)})
    bundle.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 3])
    found = found_in(bundle)
    assert [isinstance(one.crystal, Crystal) for one in found] == [True] * (len(found) - 1) + [False]
    assert 1 < len(found) < 8
    assert told(found)[0].startswith(f"{bundle}: not a readable archive, or damaged: ")


def test_nothing_in_a_file_is_told(tmp_path):
    packed(tmp_path / "x.tar", {})
    for name in ("x.jsonl", "y.extxyz", "z.json"):
        (tmp_path / name).write_text("[]" if name == "z.json" else "\n\n" if name == "x.jsonl" else "")
    assert [len(told(found_in(tmp_path / name))) for name in ("x.tar", "x.jsonl", "y.extxyz", "z.json")] == [
        1
    ] * 4
    assert len(found_in(str(tmp_path / "*.*"))) == 4


# ---- extended XYZ


@pytest.mark.parametrize(
    "text",
    [
        FRAME * 7,
        (FRAME * 4).rstrip("\n"),
        (FRAME * 4).replace("\n", "\r\n"),
        "\ufeff" + FRAME * 4,
        f"{FRAME}\n\n{FRAME}  \n{FRAME}\n",
        f"{FRAME}VEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n" * 4,
        f'{FRAME}0\nLattice="5 0 0 0 5 0 0 0 5"\n{FRAME}',
        FRAME + FRAME.replace("Na 0", "Na x") + FRAME,
        FRAME + FRAME.replace("Na 0", "Xx 0") + FRAME,
    ],
)
def test_frames(text, tmp_path):
    path = tmp_path / "x.extxyz"
    path.write_bytes(text.encode())
    found, expected = found_in(path), expected_of(path)
    n_frames = text.count("Lattice")
    assert [one.id for one in found] == [name for name, _ in expected] == [str(k) for k in range(n_frames)]
    for one, (_, crystal) in zip(found, expected, strict=True):
        assert isinstance(one.crystal, Crystal) == isinstance(crystal, Crystal)
        assert isinstance(crystal, Crystal) or str(one.crystal) == str(crystal)
    assert len(told(found)) == sum(text.count(odd) for odd in ("Na x", "Xx", "\n0\n"))


@pytest.mark.parametrize("number", ["-2", "1e3", "99999999999999999999999999", "5", "x", "2 2"])
def test_after_a_bad_number_of_atoms_nothing_is_read(number, tmp_path):
    path = tmp_path / "x.extxyz"
    path.write_text(f"{FRAME * 4}{number}\nx\nNa 0 0 0\n")
    found = found_in(path)
    assert [isinstance(one.crystal, Crystal) for one in found] == [True] * 4 + [False]
    assert told(found)[0].startswith(f"{path}, crystal 5: ")
    with pytest.raises(CrystalliteError, match="crystal 5: "):
        expected_of(path)


def test_a_frame_of_too_many_atoms_is_one_bad_crystal(tmp_path):
    path = tmp_path / "x.extxyz"
    path.write_text(f"{FRAME}70000\nx\n{'Na 0 0 0' + chr(10)}" + "Na 0 0 0\n" * 69_999 + FRAME)
    found = found_in(path)
    assert [isinstance(one.crystal, Crystal) for one in found] == [True, False, True]
    assert told(found) == [f"{path}, crystal 2: more than 65,535 atoms"]
    assert sum(len(pickle.dumps(piece)) for piece in each_piece(located(path))) < 2000


# ---- files that are no files, or other ones


def test_unreadable_files_are_bad_entries(tmp_path):
    for name in ("a.tar", "b.zip", "c.jsonl.gz", "d.extxyz", "e.db", "f.npz", "g.msgpack", "h.json"):
        (tmp_path / name).write_bytes(b"\x00\xffgarbage" * 10)
        found = found_in(tmp_path / name)
        assert len(found) == 1
        assert told(found)[0].startswith(str(tmp_path / name))
    for ending in ("tar", "jsonl", "cif"):
        os.mkfifo(tmp_path / f"pipe.{ending}")
        assert "not a regular file" in told(found_in(tmp_path / f"pipe.{ending}"))[0]
        assert n_bytes(located(tmp_path / f"pipe.{ending}")) > 0
    (tmp_path / "link.tar").symlink_to("nowhere")
    assert "No such file" in told(found_in(tmp_path / "link.tar"))[0]
    assert len(found_in(str(tmp_path / "*.*"))) == 12


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="permissions do not hold for root")
@pytest.mark.parametrize("name", ["x.tar", "x.jsonl", "x.cif"])
def test_permissions(name, tmp_path):
    (tmp_path / name).write_text("x")
    (tmp_path / name).chmod(0)
    assert told(found_in(tmp_path / name)) == [f"{tmp_path / name}: cannot read the file: Permission denied"]


@pytest.mark.parametrize("name", ["x.tar", "x.jsonl", "x.extxyz", "x.json", "x.cif", "x.parquet"])
def test_files_that_vanish(name, tmp_path, energies_file):
    path = tmp_path / name
    path.write_bytes(energies_file.read_bytes() if name == "x.parquet" else b"x")
    source = located(path)
    path.unlink()
    if name != "x.parquet":
        identity(source), n_bytes(source)
    found = [one for piece in each_piece(source) for one in read_piece(piece)]
    assert len(told(found)) == len(found) == 1


def test_a_file_that_vanishes_after_it_was_handed_on(tmp_path):
    (tmp_path / "x.cif").write_text("x")
    (tmp_path / "y.cif").write_text(cif_text(rock_salt(5.6), "NaCl"))
    [piece] = each_piece(located(tmp_path))
    (tmp_path / "x.cif").unlink()
    assert [isinstance(one.crystal, Crystal) for one in read_piece(piece)] == [False, True]


def test_a_damaged_part_of_a_dataset(folder, tmp_path):
    for part in ("0", "4"):
        (tmp_path / f"{part}.parquet").write_bytes((folder / "parts" / f"{part}.parquet").read_bytes())
    (tmp_path / "4.parquet").write_bytes(b"PAR1")
    found = found_in(tmp_path)
    assert [isinstance(one.crystal, Crystal) for one in found] == [True] * 4 + [False]
    assert "4.parquet" in told(found)[0]


@pytest.mark.parametrize("word", ["x.tar", "x.jsonl", "x.parquet", "parts", "x.extxyz"])
def test_identity_changes_with_a_file(word, folder, tmp_path):
    target = tmp_path / word
    names = list((folder / word).iterdir()) if word == "parts" else [folder / word]
    for name in names:
        copy = tmp_path / name.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(name.read_bytes())
    before = identity(located(target))
    assert identity(located(target)) == before == json.loads(json.dumps(before))
    assert n_bytes(located(target)) == sum(name.stat().st_size for name in names)
    os.utime(copy, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert identity(located(target)) != before


def test_identity_of_a_folder_is_its_names_and_what_is_in_them(folder, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.cif").write_text("x")
    before = identity(located(tmp_path))
    assert len(before) == 2
    assert n_bytes(located(tmp_path)) == 2
    (tmp_path / "c.cif").write_text("x")
    assert identity(located(tmp_path)) != before
    (tmp_path / "c.cif").unlink()
    assert identity(located(tmp_path)) == before
    (tmp_path / "a.cif").write_text("xy")
    assert identity(located(tmp_path)) != before


def test_ids_of_files_of_one_name(tmp_path):
    for name in ("a/r", "b/r"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.cif").write_text(cif_text(rock_salt(5.6), "NaCl"))
    assert [one.id for one in found_in(f"{tmp_path}/*/r/*.cif")] == ["a/r/x", "b/r/x"]
