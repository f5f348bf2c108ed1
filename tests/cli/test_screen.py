"""`crystallite screen`: what it prints, writes and refuses."""

from __future__ import annotations

import tarfile
from pathlib import Path

import duckdb
import numpy as np
import polars
import pytest

import crystallite
from crystallite.cli import main
from crystallite.datasets.dataset import Dataset
from crystallite.sources.formats import export_dataset


@pytest.fixture
def run(capsys):
    """Run a command in this process; returns exit status, standard output and standard error."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main(["screen", *map(str, words), "--workers", "1"])
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def archive(elastic, tmp_path_factory) -> Path:
    """A tar file of 60 CIFs."""
    few = elastic.select(range(60))
    folder = tmp_path_factory.mktemp("screen")
    export_dataset(Dataset.from_arrays(few.arrays, few.ids, {"x": np.zeros(60)}), folder / "cifs", "x")
    path = folder / "candidates.tar"
    with tarfile.open(path, "w") as file:
        file.add(folder / "cifs", "cifs")
    return path


def test_a_shortlist_in_every_form(run, archive, tmp_path, elastic):
    out = tmp_path / "out"
    shortlist = ("--where", "band_gap < 1 AND bulk_modulus > 50", "--by", "bulk_modulus DESC", "--top", "5")
    status, printed, told = run("band_gap,bulk_modulus", archive, "-o", out, *shortlist)
    assert (status, printed) == (0, "")
    assert "materials predicted in" in told
    assert f"5 crystals in {out}/shortlist.csv" in told
    files = f"{out}/predictions/*.parquet"
    n_predicted = duckdb.sql(f"SELECT count(*) FROM '{files}'").fetchall()[0][0]
    table = polars.read_parquet(files)
    assert len(table) == n_predicted > 50
    best = table.filter((polars.col.band_gap < 1) & (polars.col.bulk_modulus > 50)).sort(
        "bulk_modulus", descending=True
    )[:5]
    listed = polars.read_csv(out / "shortlist.csv")
    assert listed["material_id"].to_list() == best["material_id"].to_list()
    assert np.allclose(listed["bulk_modulus"], best["bulk_modulus"], rtol=1e-12)
    dataset = Dataset.read(out / "shortlist.parquet")
    assert dataset.ids == listed["material_id"].to_list()
    assert dataset.units["bulk_modulus"] == "GPa"
    again = crystallite.predict("bulk_modulus", dataset, interval=90)
    assert (again.bulk_modulus.to_numpy() == best["bulk_modulus"].to_numpy()).all()
    _, _, told = run("band_gap,bulk_modulus", archive, "-o", out, "--by", "band_gap", "--top", "2")
    assert f"({n_predicted} of them before)" in told
    assert len(Dataset.read(out / "shortlist.parquet")) == 2


def test_an_empty_shortlist_is_empty(run, archive, tmp_path):
    status, _, told = run("band_gap", archive, "-o", tmp_path / "out", "--where", "band_gap > 1000")
    assert status == 0
    assert "0 crystals in" in told
    assert (tmp_path / "out" / "shortlist.csv").read_text().count("\n") == 1
    assert len(Dataset.read(tmp_path / "out" / "shortlist.parquet")) == 0


def test_bad_inputs_are_counted_and_the_status_says_so(run, tmp_path, elastic):
    folder = tmp_path / "cifs"
    export_dataset(elastic.select(range(3)), folder, "bulk_modulus")
    (folder / "bad.cif").write_text("data_x\n")
    (folder / "id_prop.csv").unlink()
    status, _, told = run("band_gap", folder, "-o", tmp_path / "out")
    assert status == 1
    assert f"1 could not be used; the reasons are in {tmp_path}/out/bad" in told
    assert run("band_gap", folder, "-o", tmp_path / "out", "--skip-bad")[0] == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--top", "3"), "--top needs --by"),
        (("--where", "gap > 1"), 'Referenced column "gap" not found'),
        (("--where", "band_gap >"), "--where 'band_gap >': Parser Error"),
        (("--by", "band_gap; SELECT 1", "--top", "1"), "without semicolons"),
        (("--share", "0/3"), "'0/3' is not K/N"),
        (("--share", "1/3", "--where", "band_gap > 1"), "a shortlist is made of all parts"),
        (("--ray", "auto"), "--workers is for this machine"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(run, archive, tmp_path, options, reason):
    status, _, told = run("band_gap", archive, "-o", tmp_path / "out", *options)
    assert status in {1, 2}
    assert reason in told
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("models", "reason"),
    [("gap", "no such model"), ("band_gap,,", ""), ("band_gap,band_gap", ""), (",", "no model")],
)
def test_models_are_words_with_commas(run, tmp_path, elastic, models, reason):
    few = tmp_path / "few.parquet"
    elastic.select(range(3)).write(few)
    status, _, told = run(models, few, "-o", tmp_path / "out")
    assert (status > 0, reason in told) == (bool(reason), True)
