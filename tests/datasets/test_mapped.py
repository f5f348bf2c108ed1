"""Large datasets are mapped: the same table, crystals and fingerprint, which stay on disk."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from crystallite.crystals.elements import symbols
from crystallite.datasets import mapped, overview
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.files import array_folder
from crystallite.files.caching import cache_folder


@pytest.fixture
def all_are_large(monkeypatch, tmp_path):
    monkeypatch.setenv("CRYSTALLITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "MAPPED", 0)
    monkeypatch.setattr(array_folder, "IN_MEMORY", 0)
    monkeypatch.setattr(mapped, "ROW_GROUP", 100)


def is_mapped(array: np.ndarray) -> bool:
    """Whether the memory of an array is that of a file."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, *_, name = line.split(maxsplit=5)
        first, last = (int(number, 16) for number in place.split("-"))
        if first <= address < last:
            return name.endswith(".npy")
    raise AssertionError("nobody's memory")


def test_the_same_dataset(elastic, tmp_path, all_are_large):
    elastic.write(tmp_path / "data.parquet")
    for _ in range(2):
        data = Dataset.read(tmp_path / "data.parquet")
        assert data.fingerprint == elastic.fingerprint
        assert data.table.equals(elastic.table)
        assert (data.units, data.ids, data.metadata) == (elastic.units, elastic.ids, elastic.metadata)
    assert len([path for path in (cache_folder() / "crystals").iterdir() if path.is_dir()]) == 1
    some = [5, 3, 1180]
    assert data.select(some).fingerprint == elastic.select(some).fingerprint
    data.write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "data.parquet").read_bytes()


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="Linux tells what is mapped")  # noqa: PTH110
def test_crystals_stay_on_disk(elastic, tmp_path, all_are_large):
    elastic.write(tmp_path / "data.parquet")
    data = Dataset.read(tmp_path / "data.parquet")
    arrays = data.with_property("again", data.values("bulk_modulus")).arrays
    assert all(is_mapped(array) for array in (arrays.lattices, arrays.numbers, arrays.frac_coords))
    assert not is_mapped(elastic.arrays.frac_coords)
    assert not arrays.frac_coords.flags.writeable


def test_what_info_tells_in_windows(elastic, tmp_path, all_are_large, monkeypatch):
    rows = np.concatenate([np.arange(1181), [3, 700, 3]])
    letters = [None if row % 5 == 0 else "abcdefghijk"[row % 11] for row in rows]
    elastic.select(rows).with_property("letter", letters).write(tmp_path / "data.parquet")
    data = Dataset.read(tmp_path / "data.parquet")
    whole = overview.overview(data)
    monkeypatch.setattr(overview, "_WINDOW", 100)
    assert overview.overview(data) == whole
    counts = Counter(symbols()[number] for crystal in data for number in set(crystal.numbers))
    assert dict(whole.elements) == counts
    assert whole.same_ids == whole.same_structures == [[3, 1181, 1183], [700, 1182]]
    (text,) = whole.texts
    assert (text.n_different, text.frequent) == (12, Counter(letters).most_common(8))


def test_parts_in_folders_named_after_a_column(elastic, tmp_path, all_are_large, monkeypatch):
    for name, rows in (("train", range(700)), ("test", range(700, 1181))):
        (tmp_path / "data" / f"part={name}").mkdir(parents=True)
        elastic.select(rows).write(tmp_path / "data" / f"part={name}" / "x.parquet")
    data = Dataset.read(tmp_path / "data")
    monkeypatch.setattr(mapped, "MAPPED", 1 << 40)
    assert data.table.equals(Dataset.read(tmp_path / "data").table)
    assert data.labels("part")[0] == "test"


def test_a_changed_file_is_unpacked_anew(elastic, tmp_path, all_are_large):
    path = tmp_path / "data.parquet"
    for rows in (range(10), range(10, 20)):
        elastic.select(rows).write(path)
        os.utime(path, (0, 0))
        assert Dataset.read(path).fingerprint == elastic.select(rows).fingerprint


def test_damaged_and_odd_files(elastic, tmp_path, all_are_large):
    path = tmp_path / "data.parquet"
    elastic.write(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CrystalliteError, match=r"data\.parquet: .*damaged"):
        Dataset.read(path)
    assert not [path for path in (cache_folder() / "crystals").iterdir() if path.is_dir()]
    with pytest.raises(CrystalliteError, match=r"nowhere\.parquet"):
        Dataset.read(link_to_nowhere(tmp_path))


def link_to_nowhere(folder: Path) -> Path:
    (folder / "nowhere.parquet").symlink_to(folder / "not-there")
    return folder / "nowhere.parquet"


def test_no_place_to_write(elastic, tmp_path, all_are_large, monkeypatch):
    elastic.write(tmp_path / "data.parquet")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CRYSTALLITE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="crystals cannot be cached"):
        assert Dataset.read(tmp_path / "data.parquet").fingerprint == elastic.fingerprint
