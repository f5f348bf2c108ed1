"""Small files that would fill the memory, hang or end in a traceback are refused in one line."""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import GOLDEN

from crystallite.errors import CrystalliteError
from crystallite.models.published import load_published
from crystallite.sources.formats import ImportSettings
from crystallite.sources.importers.archives import import_json_or_msgpack
from crystallite.sources.importers.numpy_archive import import_archive
from crystallite.sources.reading import archive_stream, collecting
from crystallite.sources.web.id_lists import read_id_map, read_ids

ARRAYS = {
    "ids": np.array(["a", "b"]),
    "lattice": np.array([np.eye(3) * 4] * 2),
    "offsets": np.array([0, 1, 2]),
    "numbers": np.array([11, 17], np.uint8),
    "frac": np.zeros((2, 3)),
}


def npz(path: Path, **changed) -> Path:
    np.savez(path, **{name: array for name, array in {**ARRAYS, **changed}.items() if array is not None})
    return path


def test_a_sound_archive(tmp_path):
    assert import_archive(npz(tmp_path / "x.npz")).dataset.ids == ["a", "b"]
    as_fortran = np.asfortranarray(np.arange(18.0).reshape(2, 3, 3) + 10 * np.eye(3))
    changed = import_archive(npz(tmp_path / "f.npz", lattice=as_fortran, ids=np.array([b"a", b"b"]))).dataset
    np.testing.assert_array_equal(changed.arrays.lattices, as_fortran)


@pytest.mark.parametrize(
    "changed",
    [
        {"numbers": np.array(["11", "17"])},
        {"numbers": np.array([11.5, 17.0])},
        {"numbers": np.array([[11, 17]])},
        {"lattice": np.array(3.0)},
        {"lattice": np.array([np.eye(3)] * 2).astype(complex)},
        {"offsets": np.array([0, 2, 1])},
        {"offsets": np.array([0, 2**63 - 1, 2])},
        {"offsets": np.array([2**64 - 1, 1, 2], np.uint64)},
        {"offsets": np.array([], int)},
        {"ids": np.array("a")},
        {"ids": np.array([["a", "b"]])},
        {"ids": np.array([1.0, 2.0])},
        {"ids": np.array([{}, {}])},
        {"frac": None},
        {"frac": np.zeros(6)},
        {"frac": np.zeros((2, 3), "M8[s]")},
    ],
)
def test_arrays_of_another_kind(changed, tmp_path):
    with pytest.raises(CrystalliteError, match=r"odd\.npz: (not a readable|the arrays do not fit|no array)"):
        import_archive(npz(tmp_path / "odd.npz", **changed))


def with_header(
    path: Path, shape: tuple[int, ...], method: int = zipfile.ZIP_STORED, length: int = 0
) -> Path:
    """An archive whose last array says that it has a shape, and has `length` bytes."""
    npz(path, frac=None)
    text = io.BytesIO()
    head = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, head)
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("frac.npy", text.getvalue() + bytes(length))
    return path


@pytest.mark.parametrize(
    ("shape", "method", "length"),
    [
        ((10**15, 3), zipfile.ZIP_STORED, 0),
        ((2**62, 3), zipfile.ZIP_STORED, 48),
        ((-2, -3), zipfile.ZIP_STORED, 48),
        ((2, 3), zipfile.ZIP_STORED, 47),
        ((2, 3), zipfile.ZIP_DEFLATED, 100 << 20),
        ((2, 3), zipfile.ZIP_BZIP2, 100 << 20),
    ],
)
def test_shapes_are_believed_as_far_as_there_are_bytes(shape, method, length, tmp_path):
    path = with_header(tmp_path / "odd.npz", shape, method, length)
    with pytest.raises(CrystalliteError, match=r"odd\.npz: not a readable NumPy archive"):
        import_archive(path)


def test_every_damage_of_an_archive(tmp_path):
    content, rng = npz(tmp_path / "x.npz").read_bytes(), np.random.default_rng(0)
    compressed = io.BytesIO()
    np.savez_compressed(compressed, **ARRAYS)
    for whole in (content, compressed.getvalue()):
        for _ in range(150):
            damaged = bytearray(whole)
            for place in rng.integers(len(whole), size=rng.integers(1, 4)):
                damaged[place] = rng.integers(256)
            (tmp_path / "x.npz").write_bytes(damaged)
            with suppress(CrystalliteError):
                import_archive(tmp_path / "x.npz")


# ---- JSON

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", [DEEP, '{"a": ' * 50_000, '{"a": ' + "9" * 5000 + "}", '{"a": "b"', '{"a": 1}', "[]", ""]
)
def test_maps_that_cannot_be_read(text, tmp_path):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(CrystalliteError, match=r"map\.json: not a "):
        read_id_map(tmp_path / "map.json")


def test_a_map_of_many_spaces(tmp_path):
    with gzip.open(tmp_path / "map.json.gz", "wb") as file:
        for _ in range(70):
            file.write(b" " * (1 << 20))
        file.write(b"{}")
    with pytest.raises(CrystalliteError, match="unpacks to more than 100 times its size"):
        read_id_map(tmp_path / "map.json.gz")
    (tmp_path / "map.json.gz").rename(tmp_path / "ids.txt.gz")
    with pytest.raises(CrystalliteError, match="unpacks to more than 100 times its size"):
        read_ids(tmp_path / "ids.txt.gz")


def test_a_list_of_things_that_are_no_crystals(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_BAD", 1000)
    (tmp_path / "zeros.json").write_text(json.dumps([0] * 1002))
    with pytest.raises(
        CrystalliteError, match=r"zeros\.json, element 1001: .*; and 1,000 before it"
    ) as caught:
        import_json_or_msgpack(tmp_path / "zeros.json", ImportSettings(skip_bad=True))
    assert len(str(caught.value).splitlines()) == 1


def test_one_value_of_very_many(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_stream, "MOST_ITEMS", 1 << 20)
    (tmp_path / "x.json").write_text('{"a": [' + "[]," * (1 << 20) + "[]]}")
    with pytest.raises(CrystalliteError, match="one value has more than 1,048,576 items"):
        import_json_or_msgpack(tmp_path / "x.json")


def test_a_property_of_its_own_for_each_crystal(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_CELLS", 10_000)
    (tmp_path / "x.json").write_text(json.dumps([{"structure": 0, f"p{k}": 1} for k in range(200)]))
    with pytest.raises(CrystalliteError, match="more than 10,000 values"):
        import_json_or_msgpack(tmp_path / "x.json", ImportSettings(skip_bad=True))


# ---- published checkpoints


def repacked(path: Path, method: int, grown: int) -> Path:
    """A zip archive as PyTorch writes it, with records of another kind."""
    content = io.BytesIO()
    torch.save({"state_dict": {}, "args": {}, "normalizer": {}}, content)
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(path, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, bytes(grown) if grown and name.endswith("data.pkl") else old.read(name))
    return path


@pytest.mark.parametrize(("method", "grown"), [(zipfile.ZIP_DEFLATED, 200 << 20), (zipfile.ZIP_DEFLATED, 0)])
def test_a_checkpoint_that_unpacks_to_more(method, grown, tmp_path):
    path = repacked(tmp_path / "bomb.pth.tar", method, grown)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        CrystalliteError, match=r"bomb\.pth\.tar is not a checkpoint .*: it would unpack to more"
    ):
        load_published(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_pytorch_is_not_quoted(tmp_path):
    torch.save({"state_dict": Path("x")}, tmp_path / "odd.pth.tar")
    (tmp_path / "text.pth.tar").write_text("hello")
    for name in ("odd", "text"):
        with pytest.raises(CrystalliteError) as caught:
            load_published(tmp_path / f"{name}.pth.tar")
        assert "weights_only" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_tensor_that_repeats_one_number(tmp_path):
    contents = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
    contents["state_dict"]["conv_to_fc.weight"] = torch.zeros(1).expand(9_000, 9_000)
    torch.save(contents, tmp_path / "bomb.pth.tar")
    with pytest.raises(CrystalliteError, match="not a checkpoint of the published code"):
        load_published(tmp_path / "bomb.pth.tar")


def test_a_flipped_bit_of_a_zipped_checkpoint(tmp_path):
    path = tmp_path / "model.pth.tar"
    torch.save(torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True), path)
    load_published(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CrystalliteError, match=r"model\.pth\.tar is damaged: .* is not what was written"):
        load_published(path)


def test_a_model_that_says_to_be_huge(tmp_path):
    """1 KB that asks for 1 GB of weights: refused without them."""
    script = f"""
import json, resource, torch
from safetensors.torch import save_file
from crystallite.models.checkpoint import read_model
from crystallite.errors import CrystalliteError
path = {str(tmp_path / "x.safetensors")!r}
header = {{"format": 2, "model": {{"atom_width": 3300}}, "graph": {{}}, "targets": {{}}}}
save_file({{"w": torch.zeros(9)}}, path, {{"crystallite": json.dumps(header)}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_model(path)
except CrystalliteError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "its network has no weights" in done.stdout
    assert done.stdout.endswith("True\n")
