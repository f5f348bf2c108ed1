"""Importers and the exporter: nothing is lost on the way, and what cannot be used is reported."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archive_files import same_crystal
from hypothesis import given, settings
from pymatgen.core import Structure
from strategies import any_crystals as crystals

from crystallite.crystals.cif import parse_cif
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.exporters.published_layout import cif_text, export_published
from crystallite.sources.formats import ImportSettings
from crystallite.sources.importers.folder import import_files, import_published
from crystallite.sources.importers.numpy_archive import import_archive

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared data are not here")


@pytest.fixture
def published(tmp_path):
    """The first 20 elastic crystals in the published layout."""
    export_published(Dataset.read("elastic").select(range(20)), tmp_path / "published", "bulk_modulus")
    return tmp_path / "published"


# ---- export, and back


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_a_written_cif_is_the_same_crystal(crystal):
    assert same_crystal(crystal, parse_cif(cif_text(crystal, "any name"), "text"))


def test_pymatgen_reads_the_same_crystal(published):
    for name, crystal in zip(Dataset.read("elastic").ids[:20], Dataset.read("elastic"), strict=False):
        structure = Structure.from_file(published / f"{name}.cif")
        assert [site.specie.Z for site in structure] == crystal.numbers.tolist()
        shifts = structure.frac_coords - crystal.frac_coords
        assert abs(shifts - np.round(shifts)).max() < 1e-8
        assert structure.volume == pytest.approx(crystal.volume, rel=1e-9)


def test_export_leaves_out_missing_values_and_writes_the_element_table(tmp_path):
    dataset = Dataset.read("dielectric").select(range(3)).with_property("x", [1.5, np.nan, -2.0])
    assert export_published(dataset, tmp_path / "out", "x") == 2
    lines = (tmp_path / "out" / "id_prop.csv").read_text().splitlines()
    assert lines == [f"{dataset.ids[0]},1.5", f"{dataset.ids[2]},-2.0"]
    table = json.loads((tmp_path / "out" / "atom_init.json").read_text())
    assert len(table) == 100
    assert {len(row) for row in table.values()} == {92}


@pytest.mark.parametrize("name", ["a/b", "..", "", "a\\b", "con:x", "a\nb", " a", "x" * 300, ".hidden"])
def test_ids_that_cannot_be_file_names_are_refused(tmp_path, name):
    dataset = Dataset.from_crystals(list(Dataset.read("dielectric"))[:2], ["good", name], {"x": [1.0, 2.0]})
    with pytest.raises(CrystalliteError, match="cannot be names of files"):
        export_published(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_refuses_what_would_lose_something(tmp_path):
    dataset = Dataset.read("elastic").select([0, 1])
    with pytest.raises(CrystalliteError, match="choose it with --target"):
        export_published(dataset, tmp_path / "out")
    with pytest.raises(CrystalliteError, match="repeated ids would share a file"):
        export_published(dataset.select([0, 0]), tmp_path / "out", "bulk_modulus")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(CrystalliteError, match="not empty"):
        export_published(dataset, tmp_path / "out", "bulk_modulus")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


# ---- the published layout


def test_bad_crystals_are_all_listed_or_skipped(published):
    ids = [line.split(",")[0] for line in (published / "id_prop.csv").read_text().splitlines()]
    (published / f"{ids[3]}.cif").unlink()
    (published / f"{ids[5]}.cif").write_text("not a CIF")
    text = (published / "id_prop.csv").read_text().splitlines()
    text[8] = f"{ids[8]},high"
    (published / "id_prop.csv").write_text("\n".join(text))
    with pytest.raises(CrystalliteError, match="3 of 20 crystals cannot be used") as caught:
        import_published(published)
    message = str(caught.value)
    assert f"line 4 ({ids[3]}): there is no file {ids[3]}.cif" in message
    assert f"{ids[5]}.cif: " in message
    assert f"line 9 ({ids[8]}): the value 'high' is not a number" in message
    assert "--skip-bad" in message

    imported = import_published(published, ImportSettings(skip_bad=True))
    assert imported.dataset.ids == [name for row, name in enumerate(ids) if row not in (3, 5, 8)]
    assert len(imported.bad) == 3
    assert imported.dataset.values("target")[0] == Dataset.read("elastic").values("bulk_modulus")[0]


def test_only_the_first_ten_bad_crystals_are_named(published):
    for file in published.glob("*.cif"):
        file.unlink()
    with pytest.raises(CrystalliteError, match="20 of 20 crystals cannot be used") as caught:
        import_published(published, ImportSettings(skip_bad=True))  # nothing would be left
    assert str(caught.value).count("there is no file") == 10
    assert "and 10 more" in str(caught.value)


def test_files_without_a_row_and_another_element_table_are_noticed(published):
    shutil.copy(next(published.glob("*.cif")), published / "extra.cif")
    table = json.loads((published / "atom_init.json").read_text())
    table["8"][0] = 1 - table["8"][0]
    (published / "atom_init.json").write_text(json.dumps(table))
    notices = import_published(published).notices
    assert notices[0] == "1 CIFs without a row in id_prop.csv are left out: extra"
    assert "differs from the standard table for O;" in notices[1]


def test_missing_values_and_blank_lines_in_id_prop(published):
    lines = (published / "id_prop.csv").read_text().splitlines()
    lines[0] = lines[0].split(",")[0] + ","
    (published / "id_prop.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n", encoding="utf-8")
    values = import_published(published).dataset.values("target")
    assert np.isnan(values[0])
    assert np.isfinite(values[1:]).all()
    (published / "id_prop.csv").write_text("")
    with pytest.raises(CrystalliteError, match="empty; every line"):
        import_published(published)


def test_several_processes_give_the_same(published):
    (published / "mp-10003.cif").write_text("not a CIF")
    one = import_published(published, ImportSettings(skip_bad=True))
    two = import_published(published, ImportSettings(skip_bad=True, workers=2))
    assert one.bad == two.bad
    assert one.dataset.table.equals(two.dataset.table, check_metadata=True)


@needs_shared
@pytest.mark.parametrize("sample", ["sample-regression", "sample-classification"])
def test_the_published_samples(sample):
    imported = import_published(SHARED / "rcgcnn" / sample)
    assert len(imported.dataset) == 10
    assert imported.bad == imported.notices == []
    assert imported.dataset.ids[0] == "1000041"
    assert imported.dataset.values("target")[:2].tolist() in ([1.0, 2.0], [1.0, 0.0])


# ---- CIFs with a table


def test_a_table_gives_several_properties_in_its_order(published, tmp_path):
    ids = Dataset.read("elastic").ids[:20]
    frame = pd.DataFrame(
        {"mp": ids[::-1], "x": range(20), "y": [None, *[0.5] * 19], "kind": ["NaN", *"b" * 19]}
    )
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        imported = import_files(published, ImportSettings(path, "mp", units={"x": "eV"}))
        dataset = imported.dataset
        assert dataset.ids == ids[::-1]
        assert dataset.properties == ["x", "y"]
        assert dataset.values("x").tolist() == list(range(20))
        assert np.isnan(dataset.values("y")[0])
        assert dataset.labels("kind")[:2] == ["NaN", "b"]
        assert imported.notices == []
        assert same_crystal(dataset.crystal(-1), Dataset.read("elastic").crystal(0))


def test_ids_of_digits_stay_text(published, tmp_path):
    shutil.copy(published / "mp-10003.cif", tmp_path / "0012.cif")
    (tmp_path / "t.csv").write_text("material_id,x\n0012,1\n")
    assert import_files(tmp_path, ImportSettings(tmp_path / "t.csv")).dataset.ids == ["0012"]


def test_a_pattern_and_no_table(published, tmp_path):
    dataset = import_files(str(published / "mp-10*.cif")).dataset
    assert dataset.ids == sorted(dataset.ids)
    assert all(name.startswith("mp-10") for name in dataset.ids)
    assert dataset.properties == []
    (published / "sub").mkdir()
    shutil.copy(published / "mp-10003.cif", published / "sub" / "mp-10003.cif")
    ids = import_files(str(published / "**" / "mp-10003.cif")).dataset.ids
    assert ids == ["published/mp-10003", "sub/mp-10003"]
    with pytest.raises(CrystalliteError, match="no such file, folder or pattern"):
        import_files(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are always text")
def test_a_file_name_that_is_no_text_is_named(published):
    shutil.copy(published / "mp-10003.cif", os.fsdecode(bytes(published) + b"/bad-\xff.cif"))
    with pytest.raises(CrystalliteError, match="not valid text; rename the file"):
        import_files(published)


def test_rows_and_files_that_do_not_match_are_reported(published, tmp_path):
    (tmp_path / "t.csv").write_text("material_id,x\nmp-10003,1\nmp-0,2\n")
    with pytest.raises(CrystalliteError, match=r"t\.csv, line 3 \(mp-0\): there is no file mp-0\.cif"):
        import_files(published, ImportSettings(tmp_path / "t.csv"))
    imported = import_files(published, ImportSettings(tmp_path / "t.csv", skip_bad=True))
    assert imported.dataset.ids == ["mp-10003"]
    assert imported.notices[0].startswith("19 CIFs without a row in t.csv are left out: ")
    with pytest.raises(CrystalliteError, match=r"no column 'id'.*columns: material_id, x"):
        import_files(published, ImportSettings(tmp_path / "t.csv", "id"))


# ---- NumPy archives


def write_archive(path, dataset, **changes):
    arrays = dataset.arrays
    contents = {
        "ids": np.array(dataset.ids),
        "lattice": arrays.lattices,
        "offsets": arrays.offsets,
        "numbers": arrays.numbers,
        "frac": arrays.frac_coords,
    }
    np.savez(path, **{**contents, **changes})


def test_an_archive_is_joined_with_its_table(tmp_path):
    dataset = Dataset.read("elastic").select(range(5))
    write_archive(tmp_path / "structures.npz", dataset)
    (tmp_path / "props.csv").write_text(f"material_id,k\n{dataset.ids[4]},1.5\n{dataset.ids[1]},\n")
    imported = import_archive(tmp_path)
    assert imported.dataset.ids == [dataset.ids[4], dataset.ids[1]]
    assert imported.dataset.fingerprint == dataset.select([4, 1]).fingerprint
    assert len(imported.notices) == 1
    whole = import_archive(tmp_path / "structures.npz").dataset
    assert whole.fingerprint == dataset.fingerprint
    assert whole.ids == dataset.ids


def test_bad_crystals_of_an_archive(tmp_path):
    dataset = Dataset.read("elastic").select(range(5))
    lattices = dataset.arrays.lattices.copy()
    lattices[2] = 0
    numbers = dataset.arrays.numbers.astype(np.int64)
    numbers[0] = 300
    write_archive(tmp_path / "a.npz", dataset, lattice=lattices, numbers=numbers)
    with pytest.raises(CrystalliteError, match="2 of 5 crystals cannot be used"):
        import_archive(tmp_path / "a.npz")
    imported = import_archive(tmp_path / "a.npz", ImportSettings(skip_bad=True))
    assert imported.dataset.fingerprint == dataset.select([1, 3, 4]).fingerprint
    assert "no volume" in imported.bad[1][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lattice": np.zeros((5, 3))}, "do not fit together"),
        ({"offsets": np.zeros(6, np.int64)}, "do not fit together"),
        ({"ids": np.array(["a"] * 5)}, "some ids are repeated"),
        ({"ids": np.array([["a"]] * 5, dtype=object)}, "not a readable NumPy archive"),
    ],
)
def test_a_malformed_archive_is_refused(tmp_path, changes, message):
    write_archive(tmp_path / "a.npz", Dataset.read("elastic").select(range(5)), **changes)
    with pytest.raises(CrystalliteError, match=message):
        import_archive(tmp_path / "a.npz")


def test_no_archive_at_all(tmp_path):
    (tmp_path / "a.npz").write_text("text")
    for path in (tmp_path / "a.npz", tmp_path / "b.npz"):
        with pytest.raises(CrystalliteError, match="not a readable NumPy archive"):
            import_archive(path)


@needs_shared
@pytest.mark.parametrize(
    ("folder", "size", "cells"), [("mp36k_crysxpp", 36_737, (20, 112, 200)), ("perov5", 18_928, (5, 5, 5))]
)
def test_the_shared_archives(folder, size, cells):
    from crystallite.datasets.overview import overview

    dataset = import_archive(SHARED / folder).dataset
    summary = overview(dataset)
    assert len(dataset) == size
    assert summary.cell_sizes == cells
    assert summary.same_ids == []
