"""Archives that are malformed, cut short, or made to fill the memory, and crystals in them that are bad."""

from __future__ import annotations

import gzip
import json

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from archive_files import mixed_dataset, read

from crystallite.crystals.crystal import Crystal
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset
from crystallite.sources.reading import archive_stream
from crystallite.sources.reading.pymatgen_json import structure_dict

mixed = pytest.fixture(mixed_dataset, scope="module")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"", "neither a dictionary nor a list"),
        ("x.json", b"3", "neither a dictionary nor a list"),
        ("x.json", b'{"a": ', "JSON, character 6"),
        ("x.json", b'{"a" 1}', ": expected, found 1"),
        ("x.json", b"[1 2]", "or ] expected, found 2"),
        ("x.json", b"[" * 100_000, "recursion"),
        ("x.json", b'["\xff"]', "not text in UTF-8"),
        ("x.json", b"{}", "no crystals"),
        ("x.json", b"[]", "no crystals"),
        ("x.json", b'{"index": [], "columns": ["composition"], "data": []}', "no column structure"),
        ("x.json", b'{"index": [1], "columns": ["structure"], "data": []}', "do not fit together"),
        ("x.json", b'{"index": [], "data": []}', "a list of columns is missing"),
        ("x.json", b'{"index": 3, "columns": ["structure"], "data": [[{}]]}', "do not fit together"),
        ("x.json", b'{"index": {"a": 1}, "columns": ["structure"], "data": [[{}]]}', "do not fit together"),
        ("x.json", b'{"data": [3]}', "row 1 of data is not a list"),
        ("x.json", b'{"mp-1": {"band_gap": 1.0}}', "holds properties, no crystals"),
        ("x.json", b'{"material_id": "mp-1"}\n{"material_id": "mp-2"}', "holds no crystals but a dictionary"),
        ("cifs.json", b'{"a": {"lattice": {}, "sites": []}} {}', "something follows its end"),
        ("x.msgpack", b"\x90\x90", "something follows its end"),
        ("x.msgpack", b"\x82\xa1a", "No more data to unpack"),
        ("x.msgpack", b"\xc1\xc1", "neither a dictionary nor a list"),
        ("x.msgpack", b"\xdf\xff\xff\xff\xff", "No more data to unpack"),
        ("x.msgpack", b"\x81\xa1a\xc1", "MessagePack, byte"),
        ("x.msgpack", b"\x81\xa1a" + b"\x91" * 100_000, "MessagePack, byte"),
        ("x.json.zstd", b"hello", "not a readable archive"),
        ("x.json.gz", b"hello", "not a readable archive"),
        ("x.db", b"hello", "not a readable ASE database"),
        ("x.xyz", b"hello", "not extended XYZ"),
        ("x.xyz", b'1\nLattice="1 0 0"\nH 0 0 0\n', "crystal 1: not extended XYZ"),
    ],
)
def test_malformed_files_are_errors_that_name_them(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CrystalliteError) as caught:
        read(tmp_path / name)
    message = str(caught.value).replace("x: no crystals", f"{name}: no crystals")
    assert name in message
    assert reason in message


@pytest.mark.parametrize("name", ["cifs.msgpack.zstd", "cifs.json", "list.json.gz"])
def test_a_file_cut_short_is_an_error(tmp_path, mixed, name):
    export_dataset(mixed, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for part in (0.1, 0.5, 0.999):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(CrystalliteError, match=f"{name}: not a readable archive"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["cifs.json.zstd", "cifs.json.gz", "cifs.msgpack.zstd"])
def test_decompression_bombs_are_refused(tmp_path, name):
    bomb = b"[" + b" " * (80 << 20) if "json" in name else b"\x81\xc6\x05\x00\x00\x00" + bytes(80 << 20)
    data = gzip.compress(bomb, 1) if name.endswith("gz") else pa.compress(bomb, "zstd", asbytes=True)
    assert len(data) < 400_000
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        CrystalliteError,
        match=r"unpacks to more than 100 times its size|one value is larger than 16,777,216 bytes",
    ):
        read(tmp_path / name)


def test_one_enormous_value_is_refused(tmp_path, monkeypatch):
    for limit in ("LARGEST_VALUE", "LARGEST_MESSAGE"):
        monkeypatch.setattr(archive_stream, limit, 1 << 21)
    (tmp_path / "x.json").write_text(json.dumps(["x" * (5 << 20)]))
    (tmp_path / "x.msgpack").write_bytes(msgpack.packb(["x" * (5 << 20)]))
    for name in ("x.json", "x.msgpack"):
        with pytest.raises(CrystalliteError, match="one value is larger than 2,097,152 bytes"):
            read(tmp_path / name)


def test_bad_crystals_are_listed_or_left_out(tmp_path, mixed):
    export_dataset(mixed, tmp_path / "cifs.json")
    cifs = json.loads((tmp_path / "cifs.json").read_text())
    cifs["mp-20"]["sites"][0]["species"][0]["occu"] = 0.5
    del cifs["mp-30"]
    (tmp_path / "cifs.json").write_text(json.dumps({**cifs, "extra": cifs["mp-1"]}))
    with pytest.raises(
        CrystalliteError, match=r"2 of 60 .*\n.*cifs\.json, mp-20: partial occupancy"
    ) as caught:
        read(tmp_path / "cifs.json")
    assert "props.json, row 31 (mp-30): cifs.json has no crystal of this id" in str(caught.value)
    imported = read(tmp_path / "cifs.json", skip_bad=True)
    assert len(imported.bad) == 2
    assert imported.dataset.ids == [name for name in mixed.ids if name not in {"mp-20", "mp-30"}]
    assert "1 crystals without a row" in imported.notices[0]


def test_a_property_of_numbers_and_text_names_the_file(tmp_path):
    structure = structure_dict(Crystal(np.array([26], np.uint8), np.eye(3) * 3, np.zeros((1, 3))))
    records = [{"structure": structure, "x": 1}, {"structure": structure, "x": "one"}]
    (tmp_path / "list.json").write_text(json.dumps(records))
    with pytest.raises(CrystalliteError, match=r"list\.json: property x"):
        read(tmp_path / "list.json")
