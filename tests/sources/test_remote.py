"""Inputs in object storage are read as those on this machine; memory:// is fsspec's storage for tests."""

from __future__ import annotations

import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources import pieces
from crystallite.sources.formats import export_dataset
from crystallite.sources.piece_reading import read_piece
from crystallite.sources.pieces import each_piece, identity, n_bytes
from crystallite.sources.remote import is_remote, remote_source
from crystallite.sources.resolver import located

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")  # fsspec's client of web servers


@pytest.fixture
def storage(tmp_path, elastic):
    """Files on disk, and the same at memory://bucket/."""
    few = elastic.select(range(7))
    few.write(tmp_path / "few.parquet")
    export_dataset(Dataset.from_arrays(few.arrays, few.ids, {"x": np.zeros(7)}), tmp_path / "cifs", "x")
    with tarfile.open(tmp_path / "few.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifs", "cifs")
    export_dataset(few, tmp_path / "few.extxyz")
    files = fsspec.filesystem("memory")
    for name in ("few.parquet", "few.tar.gz", "few.extxyz"):
        files.pipe(f"/bucket/{name}", (tmp_path / name).read_bytes())
    yield tmp_path
    files.rm("/bucket", recursive=True)


def crystals(source) -> list[tuple[str, bytes]]:
    return [
        (found.id, found.crystal.frac_coords.tobytes())
        for piece in each_piece(source)
        for found in read_piece(piece)
    ]


@pytest.mark.parametrize("name", ["few.parquet", "few.tar.gz", "few.extxyz"])
def test_remote_files_are_read_like_others(name, storage, monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 3)
    remote = remote_source(f"memory://bucket/{name}")
    assert crystals(remote) == crystals(located(storage / name))
    assert n_bytes(remote) == (storage / name).stat().st_size
    assert identity(remote)


def test_files_of_a_web_server(storage):
    serve = partial(SimpleHTTPRequestHandler, directory=str(storage))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("few.parquet", "few.tar.gz", "few.extxyz"):
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            assert crystals(remote_source(address)) == crystals(located(storage / name))
        with pytest.raises(CrystalliteError, match="no such file there"):
            remote_source(f"http://127.0.0.1:{server.server_port}/other.tar")
        server.shutdown()


def test_patterns_find_files_in_order(storage):
    assert [path.name for path in remote_source("memory://bucket/few.*").files.paths] == [
        "few.extxyz", "few.parquet", "few.tar.gz",
    ]  # fmt: skip


def test_what_is_not_there_is_told(storage):
    assert is_remote("s3://bucket/x.tar")
    assert not is_remote("C:/x.tar")
    assert not is_remote(Path("s3://bucket/x.tar"))
    with pytest.raises(CrystalliteError, match=r"memory://bucket/none\.tar: no such file"):
        remote_source("memory://bucket/none.tar")
    with pytest.raises(CrystalliteError, match="nonsense://x: "):
        remote_source("nonsense://x")
    fsspec.filesystem("memory").pipe("/bucket/x.traj", b"")
    [piece] = each_piece(remote_source("memory://bucket/x.traj"))
    [found] = read_piece(piece)
    assert "copy it here" in found.crystal.reason
