"""The `crystallite data` commands as a user meets them."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from crystallite.cli import cli, main
from crystallite.datasets.dataset import Dataset


def run(*args):
    """Run a command that should work; return what it prints."""
    result = CliRunner().invoke(cli, ["data", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_names_the_builtin_sets():
    output = run("list")
    assert [line.split()[0] for line in output.splitlines()] == ["elastic", "formation", "dielectric"]
    assert "1,181" in output


def test_info_shows_units_ranges_and_elements():
    output = run("info", "elastic")
    assert "Crystals: 1,181, 14,675 atoms" in output
    assert "Si 198" in output
    line = next(line for line in output.splitlines() if line.startswith("bulk_modulus"))
    assert line.split() == ["bulk_modulus", "GPa", "6.4761", "130.38", "136.26", "435.66", "0"]
    assert "10.1038/sdata.2015.9" in output
    assert "Same id: none" in output


def test_info_finds_repetitions_and_missing_values(tmp_path):
    dataset = Dataset.read("elastic").select([0, 1, 2, 1, 0])
    arrays = dataset.arrays
    renamed = Dataset.from_arrays(arrays, ["a", "b", "c", "d", "a"], {"x": [1.0, None, 2.0, None, 3.0]})
    renamed.with_property("split", ["train", "train", "test", None, "train"]).write(tmp_path / "d.parquet")
    output = run("info", tmp_path / "d.parquet")
    assert "Same id: 1 repetitions in 1 groups: a = a" in output
    assert "Same structure: 2 repetitions in 2 groups: a = a; b = d" in output
    assert next(line for line in output.splitlines() if line.startswith("x ")).split()[-1] == "2"
    assert "Text split: train 3, test 1, (missing) 1" in output


def test_the_order_of_atoms_and_cell_shifts_do_not_hide_a_repetition(tmp_path):
    crystal = Dataset.read("elastic").crystal(0)
    order = np.random.default_rng(0).permutation(len(crystal))
    shuffled = type(crystal)(crystal.numbers[order], crystal.lattice, crystal.frac_coords[order] - 2)
    Dataset.from_crystals([crystal, shuffled]).write(tmp_path / "d.parquet")
    assert "Same structure: 1 repetitions" in run("info", tmp_path / "d.parquet")


def test_export_and_import(tmp_path):
    Dataset.read("elastic").select(range(12)).write(tmp_path / "some.parquet")
    output = run("export", tmp_path / "some.parquet", "--target", "bulk_modulus", "-o", tmp_path / "cifs")
    assert "12 crystals" in output
    back = tmp_path / "back.parquet"
    output = run("import", tmp_path / "cifs", "--target", "K", "--unit", "K=GPa", "-o", back)
    assert "12 crystals; K" in output
    dataset = Dataset.read(back)
    assert dataset.units == {"K": "GPa"}
    np.testing.assert_array_equal(dataset.values("K"), Dataset.read("elastic").values("bulk_modulus")[:12])

    (tmp_path / "cifs" / "mp-10003.cif").write_text("broken")
    output = run("import", tmp_path / "cifs", "--skip-bad", "-o", back)
    assert "Left out 1 crystals" in output
    assert "mp-10003.cif" in output
    assert len(Dataset.read(back)) == 11

    (tmp_path / "t.csv").write_text("material_id,a,b\nmp-10010,1,2\n")
    output = run("import", tmp_path / "cifs", "--table", tmp_path / "t.csv", "-o", back)
    assert "Notice: 11 CIFs without a row in t.csv" in output
    assert Dataset.read(back).properties == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["info", "elastik"], "did you mean elastic?"),
        (["import", "nowhere", "-o", "d.parquet"], "nowhere: no such file, folder or pattern"),
        (["import", "nowhere", "-o", "d.csv"], "ends in .parquet"),
        (["import", "d.parquet", "-o", "e.parquet"], "need no import"),
        (["import", "nowhere", "--unit", "eV", "-o", "d.parquet"], "write PROPERTY=UNIT"),
        (["export", "elastic", "-o", "out"], "choose it with --target"),
        (["export", "elastic", "--target", "bulk", "-o", "out"], "did you mean bulk_modulus"),
    ],
)
def test_mistakes_are_one_line_without_a_traceback(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["data", *args])
    error = capsys.readouterr().err
    assert stop.value.code == 1
    assert error.startswith("Error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["info", "import", "export", "list"])
def test_help_teaches(name):
    output = run(name, "--help")
    assert "Example" in output or name == "list"
