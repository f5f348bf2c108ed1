"""Parquet files of ours carry checksums, so that damage is seen; odd columns of others end in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystallite.datasets.builtin import BUILTIN, builtin_path
from crystallite.datasets.dataset import Dataset, iter_batches
from crystallite.datasets.parquet import open_parquet
from crystallite.errors import CrystalliteError
from crystallite.sources.web.id_lists import read_ids


def flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def outcome(path: Path, whole: Dataset) -> str | None:
    """Return what the error says, None if the file still holds the same."""
    try:
        read = Dataset.read(path)
    except CrystalliteError as error:
        return str(error)
    assert read.table.equals(whole.table)
    assert (read.units, read.metadata) == (whole.units, whole.metadata)
    return None


def test_one_flipped_bit_is_seen(moduli_file, tmp_path):
    whole, rng = Dataset.read(moduli_file), np.random.default_rng(0)
    size, n_seen = moduli_file.stat().st_size, 0
    for place in [*rng.integers(size, size=150), *rng.integers(size // 2, size, size=150)]:
        path = Path(shutil.copy(moduli_file, tmp_path / "flipped.parquet"))
        flip(path, int(place), int(rng.integers(8)))
        said = outcome(path, whole)
        assert said is None or (str(path) in said and len(said.splitlines()) == 1)
        n_seen += said is not None
    assert n_seen > 200  # the others are in what nobody reads, such as statistics


def test_streams_see_it_too(moduli_file, tmp_path):
    path = Path(shutil.copy(moduli_file, tmp_path / "flipped.parquet"))
    flip(path, path.stat().st_size // 4, 3)
    with pytest.raises(CrystalliteError, match=r"flipped\.parquet: .*damaged"):
        list(iter_batches(path, 7))


@pytest.mark.parametrize("name", [*BUILTIN, "article_ids"])
def test_what_comes_along_has_checksums(name, tmp_path):
    path = Path(shutil.copy(builtin_path("elastic").with_name(f"{name}.parquet"), tmp_path / "x.parquet"))
    flip(path, path.stat().st_size // 2, 0)
    with pytest.raises(CrystalliteError, match="damaged"), open_parquet(path) as file:
        file.read()


def test_files_without_checksums_are_read(elastic, tmp_path):
    table = elastic.select(range(3)).table
    pq.write_table(table, tmp_path / "old.parquet")
    assert Dataset.read(tmp_path / "old.parquet").table.equals(table, check_metadata=True)


def test_a_checksum_is_not_part_of_the_data(moduli_file, tmp_path):
    data = Dataset.read(moduli_file)
    assert not [key for key in data.table.schema.metadata if b"crc" in key]
    data.select([0, 1]).with_property("x", [1.0, 2.0], "eV").write(tmp_path / "again.parquet")
    assert Dataset.read(tmp_path / "again.parquet").units["x"] == "eV"


NUMBERS = pa.array([1.0, 2.0, 3.0])
BAD_TEXT = pa.Array.from_buffers(pa.string(), 3, pa.array([b"\xff", b"b", b"c"]).buffers())


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("bulk_modulus", NUMBERS, "there are several columns bulk_modulus"),
        ("material_id", pa.array(["a", "b", "c"]), "there are several columns material_id"),
        ("material_id=", pa.array([["a"], ["b"], ["c"]]), "column material_id has the type list"),
        ("material_id=", pa.array([b"\xff", b"b", b"c"]), "column material_id has the type binary"),
        ("material_id=", pa.nulls(3), "column material_id, row 1: no value"),
        ("note", BAD_TEXT, "column note: not readable"),
        ("lattice=", pa.array([[1.0] * 8] * 3), "column lattice, row 1"),
        ("lattice=", NUMBERS, "column lattice has the type double"),
        ("numbers=", pa.array([["a"]] * 3), "column numbers has the type list"),
    ],
)  # fmt: skip
def test_odd_columns_are_named(column, values, message, elastic, tmp_path):
    table, name = elastic.select(range(3)).table, column.removesuffix("=")
    if column.endswith("="):
        table = table.set_column(table.column_names.index(name), name, values)
    else:
        table = table.append_column(name, values)
    pq.write_table(table, tmp_path / "odd.parquet")
    with pytest.raises(CrystalliteError, match=rf"odd\.parquet: {message}") as caught:
        Dataset.read(tmp_path / "odd.parquet")
    assert len(str(caught.value).splitlines()) == 1


def test_metadata_that_is_not_text(elastic, tmp_path):
    table = elastic.select(range(3)).table
    fields = [f.with_metadata({b"unit": b"\xff"}) if f.name == "bulk_modulus" else f for f in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), tmp_path / "unit.parquet")
    pq.write_table(table.replace_schema_metadata({b"crystallite.title": b"\xff"}), tmp_path / "title.parquet")
    for name in ("unit", "title"):
        with pytest.raises(CrystalliteError, match=f"{name}.parquet: .* is not text in UTF-8"):
            Dataset.read(tmp_path / f"{name}.parquet")


def test_ids_of_a_table_that_has_none(tmp_path):
    pq.write_table(pa.table({"x": NUMBERS}), tmp_path / "x.parquet")
    with pytest.raises(CrystalliteError, match=r"x\.parquet: no column material_id"):
        read_ids(tmp_path / "x.parquet")
