"""Archives in JSON and MessagePack: they come back as they went, and rcgcnn reads them too."""

from __future__ import annotations

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from archive_files import assert_same_columns, mixed_dataset, read
from click.testing import CliRunner
from pymatgen.core import Structure

from crystallite.cli import cli
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset

mixed = pytest.fixture(mixed_dataset, scope="module")


def test_what_rcgcnn_does_reads_our_archives(tmp_path):
    """One zstd frame that tells its length, msgpack.unpackb of all, Structure.from_dict of one."""
    some = Dataset.read("formation").select(range(5))
    export_dataset(some, tmp_path / "cifs.msgpack.zstd")
    data = (tmp_path / "cifs.msgpack.zstd").read_bytes()
    size = _zstd_content_size(data)
    cifs = msgpack.unpackb(pa.Codec("zstd").decompress(data, size, asbytes=True))
    for crystal, name in zip(some, some.ids, strict=True):
        structure = Structure.from_dict(cifs[name])
        np.testing.assert_array_equal(structure.frac_coords, crystal.frac_coords)
        np.testing.assert_array_equal(structure.lattice.matrix, crystal.lattice)
        np.testing.assert_array_equal(structure.atomic_numbers, crystal.numbers)


def _zstd_content_size(data):
    """The length in a frame's header (RFC 8878, 3.1.1.1): four bytes of magic, descriptor, length."""
    descriptor = data[4]
    n_bytes = {0: 1, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    assert descriptor & 0x20, "single segment: no window descriptor before the length"
    return int.from_bytes(data[5 : 5 + n_bytes], "little") + (256 if n_bytes == 2 else 0)


def test_a_folder_with_cifs_and_props_is_an_archive(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "cifs.bin")
    (tmp_path / "id_prop.csv").write_text("mp-1,1.0\n")  # rcgcnn's folder has the target of its last run
    assert_same_columns(read(tmp_path).dataset, mixed)
    (tmp_path / "cifs.json").write_text("{}")
    with pytest.raises(CrystalliteError, match=r"has cifs\.bin, cifs\.json"):
        read(tmp_path)


def test_units_are_known_or_announced_as_lost(tmp_path, mixed):
    formation = Dataset.read("formation").select(range(3))
    assert len(export_dataset(formation, tmp_path / "cifs.json")) == 1  # where the properties are
    assert read(tmp_path / "cifs.json").dataset.units == formation.units
    notices = export_dataset(mixed, tmp_path / "x.json")
    assert notices == ["units are not in the file: bulk_modulus (GPa); give them again with --unit"]


def test_only_the_target_is_written(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "x.json", "count")
    assert read(tmp_path / "x.json").dataset.properties == ["count"]
    with pytest.raises(CrystalliteError, match="no property 'counts'"):
        export_dataset(mixed, tmp_path / "x.json", "counts")


def test_what_cannot_be_written_is_said(tmp_path, mixed):
    twice = mixed.select([0, 0])
    with pytest.raises(CrystalliteError, match="repeated ids would share an entry: mp-1"):
        export_dataset(twice, tmp_path / "cifs.json")
    with pytest.raises(CrystalliteError, match=r"name it data-cifs\.msgpack\.zstd"):
        export_dataset(mixed, tmp_path / "data.msgpack.zstd")
    with pytest.raises(CrystalliteError, match="another meaning for stress"):
        export_dataset(mixed.with_property("stress", np.zeros(60)), tmp_path / "x.xyz")
    with pytest.raises(CrystalliteError, match="is a dataset already"):
        export_dataset(mixed, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    export_dataset(twice, tmp_path / "list.json")
    assert read(tmp_path / "list.json").dataset.ids == ["mp-1", "mp-1"]
    with pytest.raises(CrystalliteError, match="has properties of its own"):
        read(tmp_path / "list.json", table=tmp_path / "table.csv")


def test_the_commands(tmp_path):
    runner = CliRunner()
    archive, data = str(tmp_path / "cifs.msgpack.zstd"), str(tmp_path / "data.parquet")
    exported = runner.invoke(cli, ["data", "export", "elastic", "-o", archive], catch_exceptions=False)
    assert exported.exit_code == 0, exported.output
    assert "1,181 crystals" in exported.output
    assert "properties are in" in exported.output
    imported = runner.invoke(cli, ["data", "import", archive, "-o", data], catch_exceptions=False)
    assert imported.exit_code == 0, imported.output
    elastic = Dataset.read("elastic")
    assert Dataset.read(data).fingerprint == elastic.fingerprint
    assert_same_columns(Dataset.read(data), elastic)
