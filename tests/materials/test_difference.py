"""Two datasets compared: what was added, removed, renamed, merged, and what moved."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from crystallite.cli.diff import command
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.materials.difference import Change, compare, pair_crystals, write_difference

MAP = {"t1": "m1", "t2": "m2", "t3": "m2"}


@pytest.fixture(scope="module")
def old(elastic):
    """Five crystals by the ids of their tasks; t2 and t3 are the same material today."""
    rows = [0, 1, 2, 2, 4]
    values = [1.0, 2.0, np.nan, 4.0, 5.0]
    return Dataset.from_arrays(
        elastic.select(rows).arrays,
        ["t1", "m0", "t2", "t3", "m9"],
        {"gap": values, "gone": values, "label": list("abcde")},
        {"gap": "eV"},
        name="old",
    )


@pytest.fixture(scope="module")
def new(elastic):
    """m0 is a supercell now, m1 was relaxed, m2 is as it was, m5 is new, m9 is not there."""
    first, second, third, fourth = (elastic.crystal(row) for row in (0, 1, 2, 5))
    double = Crystal(
        np.tile(second.numbers, 2),
        second.lattice * [[2], [1], [1]],
        np.concatenate([second.frac_coords, second.frac_coords + np.array([1, 0, 0])]) / [2, 1, 1],
    )
    relaxed = Crystal(first.numbers, first.lattice * 1.02, first.frac_coords)
    crystals = [double, relaxed, third, fourth]
    return Dataset.from_crystals(
        crystals, ["m0", "m1", "m2", "m5"], {"gap": [2.0, 1.5, 3.0, 7.0]}, {"gap": "eV"}, name="new"
    )


def test_pairs(old, new):
    pairs = pair_crystals(old.ids, new.ids, MAP)
    assert pairs.old.tolist() == [0, 1, 2, 3]
    assert pairs.new.tolist() == [1, 0, 2, 2]
    assert (pairs.removed, pairs.added) == ([4], [3])
    assert pairs.renamed == [("t1", "m1"), ("t2", "m2"), ("t3", "m2")]
    assert pairs.merged == {"m2": ["t2", "t3"]}


def test_without_a_map_only_equal_ids_are_the_same(old, new):
    pairs = pair_crystals(old.ids, new.ids, {})
    assert (pairs.old.tolist(), pairs.new.tolist()) == ([1], [0])
    assert len(pairs.removed) == 4
    with pytest.raises(CrystalliteError, match="no id in common, such as t1 and m2; is a map of ids needed"):
        compare(old.select([0]), new.select([2]))


def test_an_id_that_is_there_twice():
    pairs = pair_crystals(["a", "a"], ["a", "a", "b"], {})
    assert (pairs.old.tolist(), pairs.new.tolist(), pairs.added) == ([0, 1], [0, 0], [2])
    assert pairs.merged == {}


def test_structures_and_properties(old, new):
    difference = compare(old, new, id_map=MAP)
    assert difference.moved.tolist() == [True, False, False, False]
    gap, volume = difference.changes
    assert (gap.name, gap.unit, volume.unit) == ("gap", "eV", "Å³")
    assert gap.known.tolist() == [0.5, 0.0, -1.0]
    assert (gap.gained, gap.lost) == (1, 0)
    assert gap.movers == [(3, 4.0, 3.0), (0, 1.0, 1.5)]
    statistics = gap.statistics()
    assert statistics["mae"] == pytest.approx(0.5)
    assert statistics["mean"] == pytest.approx(-0.5 / 3)
    assert statistics["50%"] == 0
    np.testing.assert_allclose(volume.new / volume.old, [1.02**3, 1, 1, 1])


def test_properties_of_other_names_and_units(old, new):
    (change, _) = compare(old, new, id_map=MAP, properties={"gone": "gap"}).changes
    assert change.name == "gone -> gap"
    other = new.with_property("gap", new.values("gap"), "meV")
    with pytest.raises(CrystalliteError, match="gap is in eV, gap in meV"):
        compare(old, other, id_map=MAP)
    with pytest.raises(CrystalliteError, match="no property 'gapp'"):
        compare(old, new, id_map=MAP, properties={"gap": "gapp"})


def test_a_property_that_nobody_has_twice():
    change = Change("x", "", np.array([1.0, np.nan]), np.array([np.nan, 1.0]))
    assert (change.lost, change.gained, change.movers) == (1, 1, [])
    assert change.statistics()["crystals"] == 0
    assert np.isnan(change.statistics()["mean"])


def test_files(tmp_path, old, new):
    write_difference(tmp_path / "d", compare(old, new, id_map=MAP, properties={"gap": "gap", "gone": "gap"}))
    names = sorted(path.name for path in (tmp_path / "d").iterdir())
    assert names == ["crystals.csv", "gap.png", "gone-to-gap.png", "properties.csv", "volume_per_atom.png"]
    assert (tmp_path / "d" / "gap.png").read_bytes()[:4] == b"\x89PNG"
    with (tmp_path / "d" / "crystals.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["renamed", "kept", "merged", "merged", "removed", "added"]
    assert rows[0]["structure"] == "moved"
    assert (rows[0]["gap old"], rows[0]["gap new"]) == ("1.0", "1.5")
    assert rows[4]["old_id"] == "m9"
    with (tmp_path / "d" / "properties.csv").open() as file:
        table = list(csv.DictReader(file))
    assert table[0]["largest"] == "t3"


def test_nothing_changed(tmp_path, elastic):
    difference = compare(elastic, elastic)
    assert not difference.moved.any()
    assert all(change.movers == [] for change in difference.changes)
    assert len(difference.changes) == 6
    write_difference(tmp_path, difference)  # histograms of zeros


def test_command(tmp_path, old, new):
    old.write(tmp_path / "old.parquet")
    new.write(tmp_path / "new.parquet")
    (tmp_path / "map.csv").write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in MAP.items()))
    arguments = ["old.parquet", "new.parquet", "--map", "map.csv", "-o", "out"]
    arguments = [str(tmp_path / a) if a[0] != "-" else a for a in arguments]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    for line in (
        "4 crystals in both; 1 of them with a different structure",
        "Removed 1: m9",
        "Added 1: m5",
        "Renamed 3: t1 -> m1; t2 -> m2; t3 -> m2",
        "Merged 1: t2, t3 -> m2",
        "Largest changes of gap: t3 4 -> 3; t1 1 -> 1.5",
    ):
        assert line in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("gap"))
    assert row.split()[:6] == ["gap", "eV", "3", "0", "1", "-0.1667"]
    assert (tmp_path / "out" / "properties.csv").is_file()
    result = CliRunner().invoke(command, [*arguments[:4], "--property", "gone=gap"], catch_exceptions=False)
    assert "gone -> gap" in result.output
