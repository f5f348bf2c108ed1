"""Graphs on disk: built once, shared by all runs, folds and trials.

A store is a folder named after the crystals' fingerprint, the graph settings and the algorithm's version. It
appears whole or not at all, is checked (CRC-32 of each file) when opened, and is rebuilt when damaged.

Stores below IN_MEMORY are read into memory: what becomes of the files later does not matter. Larger ones
are mapped, so that processes share them. A process that reads a mapped file which another one cuts would be
killed (SIGBUS), so a store's files are never written to again: they are read-only, and a store is replaced by
another folder, while readers keep the files of the old one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..crystals.crystal import CrystalArrays
from ..datasets.dataset import Dataset
from ..files.npy import read_header
from ..settings.config import GraphConfig
from .packed import ALGORITHM_VERSION, PackedGraphs, build_graphs

STORED = tuple(name for name in PackedGraphs._fields if name != "crystals")
HEADER = 4096  # bytes in which the header of an .npy file ends
IN_MEMORY = 64 << 20  # bytes; graphs take some 400 bytes per crystal


def cache_folder() -> Path:
    """Return the folder for graphs: `CRYSTALLITE_CACHE`, or the system's place for caches."""
    chosen = os.environ.get("CRYSTALLITE_CACHE")
    return Path(chosen) if chosen else user_cache_path("crystallite")


def dataset_graphs(
    dataset: Dataset,
    config: GraphConfig,
    *,
    workers: int = 1,
    progress: bool = False,
    folder: Path | None = None,
) -> PackedGraphs:
    """Return the graphs of a dataset from the store, building them the first time.

    Two processes that ask at once build once. When the store cannot be written (no room, no permission) the
    graphs are built in memory, with a warning.
    """
    folder = (folder or cache_folder()) / "graphs" / store_key(dataset.fingerprint, config)

    def build() -> PackedGraphs:
        return build_graphs(dataset.arrays, config, dataset.ids, workers=workers, progress=progress)

    graphs = _opened(folder, dataset.arrays)
    if graphs is not None:
        return graphs
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return _opened(folder, dataset.arrays) or _built(folder, build)
    except OSError as error:
        warnings.warn(f"graphs cannot be cached in {folder}: {error}", stacklevel=2)
        return build()


def store_key(fingerprint: str, config: GraphConfig) -> str:
    """Return the name of the store of these crystals under these settings."""
    identity = [ALGORITHM_VERSION, fingerprint, config.effective().to_dict()]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _built(folder: Path, build: Callable[[], PackedGraphs]) -> PackedGraphs:
    graphs = build()
    temporary = folder.with_name(f".building-{folder.name}")  # the lock is ours, so it is of a killed process
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        manifest = {}
        for name in STORED:
            array = getattr(graphs, name)
            np.save(temporary / f"{name}.npy", array)
            manifest[name] = zlib.crc32((temporary / f"{name}.npy").read_bytes())
            (temporary / f"{name}.npy").chmod(0o444)
        (temporary / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _opened(folder, graphs.crystals) or graphs


def _opened(folder: Path, crystals: CrystalArrays | None) -> PackedGraphs | None:
    """Return the stored graphs, or None if they are absent or damaged."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = {name: folder / f"{name}.npy" for name in STORED}
        is_small = sum(path.stat().st_size for path in files.values()) < IN_MEMORY
        contents = {name: _content(path, is_small) for name, path in files.items()}
        # The whole file counts: its header says how to read the numbers.
        if any(zlib.crc32(content.data) != manifest[name] for name, content in contents.items()):
            return None
        return PackedGraphs(
            **{name: _array(content) for name, content in contents.items()}, crystals=crystals
        )
    except (OSError, ValueError, KeyError, TypeError, MemoryError, RecursionError):
        return None


def _content(path: Path, is_small: bool) -> NDArray[np.uint8]:
    """Return the bytes of a file, read or mapped."""
    if not is_small:
        return np.memmap(path, np.uint8, "r").view(np.ndarray)
    content = np.fromfile(path, np.uint8)
    content.flags.writeable = False
    return content


def _array(content: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the array of an .npy file's bytes, over their memory, which is not to be written to.

    A plain array also over mapped memory: compiled code is made for these, not for np.memmap.
    """
    head = io.BytesIO(content[:HEADER].tobytes())
    header = read_header(head)
    return header.array(content[head.tell() :])
