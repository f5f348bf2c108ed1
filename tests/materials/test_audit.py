"""Duplicates in lists of ids and in datasets, and what of them leaks across splits."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from crystallite.cli.audit import command, ids_command
from crystallite.cli.select import command as select_command
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.datasets.selection import delta_set, full_set, original_set, select_value
from crystallite.errors import CrystalliteError
from crystallite.materials.audit import (
    audit_ids,
    find_groups,
    find_leak,
    read_split,
    repeated,
    spread,
)
from crystallite.materials.splits import Split, random_split
from crystallite.sources.web.id_lists import read_id_map, read_ids

SHARED = Path(__file__).parents[3] / "shared" / "data" / "rcgcnn"


def run(click_command, *arguments) -> str:
    result = CliRunner().invoke(click_command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


# ---- ids


LISTS = {"46744": (46_744, 46_632, 109), "27430": (27_430, 27_336, 92), "3402": (3_402, 3_392, 10)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs shared data")
def test_the_lists_of_the_article():
    id_map = read_id_map(SHARED / "t2m.json.zstd")
    assert len(id_map) == 701_219
    for name, (ids, materials, groups) in LISTS.items():
        audit = audit_ids(read_ids(SHARED / f"mp-ids-{name}.csv"), id_map)
        assert (len(audit.ids), audit.n_materials, len(audit.groups)) == (ids, materials, groups)
        assert sum(len(names) - 1 for names in audit.groups.values()) == ids - materials
        assert audit.unknown == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs shared data")
def test_audit_ids_command(tmp_path):
    output = tmp_path / "audited.csv"
    text = run(ids_command, SHARED / "mp-ids-46744.csv", "--map", SHARED / "t2m.json.zstd", "-o", output)
    assert "46,744 ids, 46,632 distinct materials, 112 duplicates in 109 groups" in text
    listed = [line for line in text.splitlines() if line.startswith("mp-")]
    assert len(listed) == 109
    assert "mp-23360: mp-23360, mp-646925" in listed
    rows = read_rows(output)
    assert len(rows) == 46_744
    assert len({row["material_id"] for row in rows}) == 46_632
    assert sum(row["ids_of_material"] != "1" for row in rows) == 112 + 109


def test_groups_and_unknown_ids():
    audit = audit_ids(["t1", "t2", "m1", "t3", "x", "x"], {"t1": "m1", "t2": "m1", "t3": "m3"})
    assert audit.groups == {"m1": ["t1", "t2", "m1"], "x": ["x", "x"]}
    assert audit.n_materials == 3
    assert audit.unknown == ["x", "x"]


@pytest.mark.parametrize(
    "text", ["mp-1\r\nmp-2\r\n", "material_id,x\nmp-1,3\nmp-2,4\n", "\ufeffmp-1\n\n mp-2 "]
)
def test_lists_of_ids(tmp_path, text):
    (tmp_path / "ids.csv").write_bytes(text.encode())
    assert read_ids(tmp_path / "ids.csv") == ["mp-1", "mp-2"]


def test_ids_of_a_dataset(tmp_path, elastic):
    elastic.select([3, 5]).write(tmp_path / "d.parquet")
    assert read_ids(tmp_path / "d.parquet") == [elastic.ids[3], elastic.ids[5]]


def test_maps_of_ids(tmp_path):
    pairs = {"t1": "m1", "t2": "m1"}
    text = json.dumps(pairs)
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json.zstd").write_bytes(pa.compress(text.encode(), codec="zstd", asbytes=True))
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d.csv").write_text("task,material,found\nt1,m1,yes\nt2,m1,yes\nt9,,no\n")
    pq.write_table(pa.table({"old": list(pairs), "new": list(pairs.values())}), tmp_path / "e.parquet")
    for path in tmp_path.iterdir():
        assert read_id_map(path) == pairs, path.name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.json", "[1]", "not a map of ids"),
        ("m.json", "{", "not a readable archive"),
        ("m.json.zstd", "text", "not a readable archive"),
        ("m.csv", "a\n1\n", "needs two columns"),
        ("m.txt", "a b", "is a .json, .json.zstd"),
    ],
)
def test_what_is_no_map(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(CrystalliteError, match=message):
        read_id_map(tmp_path / name)


def test_missing_and_empty_lists(tmp_path):
    with pytest.raises(CrystalliteError, match="No such file"):
        read_ids(tmp_path / "ids.csv")
    (tmp_path / "ids.csv").write_text("material_id\n")
    with pytest.raises(CrystalliteError, match="no ids"):
        read_ids(tmp_path / "ids.csv")
    (tmp_path / "ids.csv").write_bytes(bytes(range(1, 256)))
    with pytest.raises(CrystalliteError, match="not a list of ids"):
        read_ids(tmp_path / "ids.csv")


# ---- crystals


def supercell(crystal: Crystal) -> Crystal:
    """Return the crystal doubled along its first vector, turned, with another origin."""
    coords = np.concatenate([crystal.frac_coords, crystal.frac_coords + np.array([1, 0, 0])]) / [2, 1, 1]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    lattice = np.diag([2.0, 1, 1]) @ crystal.lattice @ turn
    return Crystal(np.tile(crystal.numbers, 2), lattice, coords + 0.1)


@pytest.fixture(scope="module")
def doubled(elastic):
    """Ten crystals; then 0 again under its id, 1 as a supercell, 2 strained by 5 %, and 1 once more."""
    crystals = [elastic.crystal(row) for row in range(10)]
    strained = Crystal(crystals[2].numbers, crystals[2].lattice * 1.05, crystals[2].frac_coords)
    more = [crystals[0], supercell(crystals[1]), strained, crystals[1]]
    ids = [*elastic.ids[:10], elastic.ids[0], "super", "strained", "same"]
    values = [*range(10), 0.5, 1.25, 2, np.nan]
    return Dataset.from_crystals([*crystals, *more], ids, {"x": values}, name="doubled")


def test_the_same_material_in_another_cell(doubled):
    found = repeated(find_groups(doubled))
    assert [rows.tolist() for rows in found] == [[1, 11, 13], [0, 10]]
    assert spread(doubled.values("x"), found).tolist() == [0.25, 0.5]


def test_leaks_across_a_split():
    groups = np.array([0, 0, 1, 1, 2, 3, 3, 3])
    leak = find_leak(groups, Split(np.array([0, 2, 5]), np.array([1, 6]), np.array([3, 7, 4])))
    assert leak._asdict() == {
        "validation": 2,
        "test": 3,
        "validation_in_train": 2,
        "test_in_train": 2,
        "test_in_validation": 1,
        "groups": 3,
    }


def test_splits_by_material_do_not_leak(formation):
    groups = find_groups(formation)
    leak = find_leak(groups, random_split(groups, (80, 10, 10), 0))
    assert leak.groups == leak.test_in_train == leak.validation_in_train == leak.test_in_validation == 0
    naive = find_leak(groups, random_split(np.arange(len(groups)), (80, 10, 10), 0))
    assert naive.test_in_train > 0


def test_a_split_file(tmp_path, doubled):
    path = tmp_path / "split.csv"
    labels = ["train"] * 8 + ["val", "test", "test", "test", "", "train"]
    rows = [f"{name},{label}" for name, label in zip(doubled.ids, labels, strict=True)]
    path.write_text("\n".join(["material_id,split", *rows]))
    split = read_split(path, doubled.ids)
    assert split.test.tolist() == [9, 10, 11]
    assert split.validation.tolist() == [8]
    path.write_text("material_id,split\nstranger,train\n")
    with pytest.raises(CrystalliteError, match="1 ids are not in the dataset, such as stranger"):
        read_split(path, doubled.ids)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CrystalliteError, match="columns material_id and split"):
        read_split(path, doubled.ids)


def test_audit_command(tmp_path, doubled):
    doubled.write(tmp_path / "d.parquet")
    output = tmp_path / "repeated.csv"
    text = run(command, tmp_path / "d.parquet", "--property", "x", "--split", "60/20/20", "-o", output)
    assert "14 crystals, 11 distinct materials, 3 duplicates in 2 groups (1 with the same id)" in text
    assert f"{doubled.ids[1]}, super, same" in text
    assert "x within a group differs by 0.375 (median), 0.475 (90 % of groups), at most 0.5" in text
    assert "by material (as train does): 0 materials in more than one set" in text
    rows = read_rows(output)
    assert [(row["group"], row["row"]) for row in rows] == [
        ("1", "1"), ("1", "11"), ("1", "13"), ("2", "0"), ("2", "10"),
    ]  # fmt: skip
    assert rows[0]["formula"] == doubled[1].formula == rows[1]["formula"]
    assert {row["split"] for row in rows} <= {"train", "validation", "test"}
    assert rows[2]["x"] == ""


def test_audit_of_a_column_and_of_a_run(tmp_path, doubled):
    labels = ["train"] * 10 + ["test"] * 4
    doubled.with_property("part", labels).write(tmp_path / "d.parquet")
    text = run(command, tmp_path / "d.parquet", "--split-column", "part")
    assert "3 of 4 test crystals have a twin in the training set" in text
    rows = [f"{name},{label}" for name, label in zip(doubled.ids, labels, strict=True)]
    (tmp_path / "split.csv").write_text("\n".join(["material_id,split", *rows]))
    again = run(command, tmp_path / "d.parquet", "--split-file", tmp_path / "split.csv")
    assert again == text
    with pytest.raises(CrystalliteError, match="one of --split"):
        run(command, tmp_path / "d.parquet", "--split", "80/10/10", "--split-column", "part")


def test_formulas():
    def formula(*numbers: int) -> str:
        n = len(numbers)
        return Crystal(np.array(numbers, np.uint8), np.eye(3), np.zeros((n, 3))).formula

    assert formula(8, 14, 8) == "SiO2"
    assert formula(11, 17, 11, 17) == "NaCl"
    assert formula(22, 38, 8, 8, 8) == "SrTiO3"
    assert formula(6) == "C"


# ---- parts


@pytest.fixture
def everything(elastic):
    """Six crystals, one of them deprecated and one of unknown state; the article lists t0, m1 and m2."""
    deprecated = [False, True, False, False, None, False]
    return Dataset.from_arrays(
        elastic.select(range(6)).arrays, [f"m{k}" for k in range(6)], {"deprecated": deprecated}, name="all"
    )


def test_original_full_and_delta(everything):
    ids, id_map = ["t0", "m1", "m2", "gone"], {"t0": "m0", "m1": "m1"}
    original = original_set(everything, ids, id_map)
    assert (original.dataset.ids, original.absent) == (["m0", "m1", "m2"], ["gone"])
    assert full_set(everything).ids == ["m0", "m2", "m3", "m4", "m5"]
    assert delta_set(everything, ids, id_map).dataset.ids == ["m3", "m4", "m5"]


def test_select_command(tmp_path, everything):
    everything.with_property("kind", list("aabbab")).write(tmp_path / "all.parquet")
    (tmp_path / "ids.csv").write_text("t0\nm1\nm2\ngone\n")
    (tmp_path / "map.csv").write_text("task,material\nt0,m0\n")
    listed = ("--ids", tmp_path / "ids.csv", "--map", tmp_path / "map.csv")
    out = tmp_path / "out.parquet"
    for options, expected in (
        (listed, ["m0", "m1", "m2"]),
        (("--not-deprecated",), ["m0", "m2", "m3", "m4", "m5"]),
        ((*listed, "--exclude", "--not-deprecated"), ["m3", "m4", "m5"]),
        (("--where", "kind=b", "--where", "deprecated=false"), ["m2", "m3", "m5"]),
    ):
        text = run(select_command, tmp_path / "all.parquet", *options, "-o", out)
        assert f"{len(expected)} of 6 crystals" in text
        assert Dataset.read(out).ids == expected
    assert "1 of 4 ids are not in" in run(select_command, tmp_path / "all.parquet", *listed, "-o", out)
    with pytest.raises(CrystalliteError, match=r"no crystal of .* matches"):
        run(select_command, tmp_path / "all.parquet", "--where", "kind=c", "-o", out)
    with pytest.raises(CrystalliteError, match="say what to select"):
        run(select_command, tmp_path / "all.parquet", "-o", out)
    with pytest.raises(CrystalliteError, match="no property 'kin'"):
        run(select_command, tmp_path / "all.parquet", "--where", "kin=a", "-o", out)


def test_select_by_number_and_article(tmp_path, elastic):
    value = elastic.values("bulk_modulus")[7]
    assert select_value(elastic, "bulk_modulus", str(value)).ids == [elastic.ids[7]]
    with pytest.raises(CrystalliteError, match="holds numbers"):
        select_value(elastic, "bulk_modulus", "high")
    out = tmp_path / "out.parquet"
    run(select_command, "elastic", "--article", "elastic", "-o", out)
    assert 0 < len(Dataset.read(out)) < len(elastic)
