"""Graphs on disk: built once, memory-mapped, shared by all runs, folds and trials.

A store is a folder named after the crystals' fingerprint, the graph settings and the algorithm's version. It
appears whole or not at all, is checked (CRC-32 of each file) when opened, and is rebuilt when damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from .config import GraphConfig
from .dataset import Dataset
from .graphs import ALGORITHM_VERSION, PackedGraphs, build_graphs


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
    """Return the graphs of a dataset, memory-mapped from the store, building them the first time.

    Two processes that ask at once build once. When the store cannot be written (no room, no permission) the
    graphs are built in memory, with a warning.
    """
    folder = (folder or cache_folder()) / "graphs" / store_key(dataset.fingerprint, config)

    def build() -> PackedGraphs:
        return build_graphs(dataset.arrays, config, dataset.ids, workers=workers, progress=progress)

    graphs = _opened(folder)
    if graphs is not None:
        return graphs
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return _opened(folder) or _built(folder, build)
    except OSError as error:
        warnings.warn(f"graphs are not kept for next time: {folder}: {error}", stacklevel=2)
        return build()


def store_key(fingerprint: str, config: GraphConfig) -> str:
    """Return the name of the store of these crystals under these settings."""
    identity = [ALGORITHM_VERSION, fingerprint, config.effective().to_dict()]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _built(folder: Path, build: Callable[[], PackedGraphs]) -> PackedGraphs:
    graphs = build()
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        manifest = {}
        for name, array in graphs._asdict().items():
            np.save(temporary / f"{name}.npy", array)
            manifest[name] = _checksum(temporary / f"{name}.npy")
        (temporary / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _opened(folder) or graphs


def _opened(folder: Path) -> PackedGraphs | None:
    """Return the stored graphs, or None if they are absent or damaged."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = {name: folder / f"{name}.npy" for name in PackedGraphs._fields}
        if any(_checksum(path) != manifest[name] for name, path in files.items()):
            return None
        arrays = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in files.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Plain arrays over the mapped memory: compiled code is made for these, not for np.memmap.
    return PackedGraphs(**{name: array.view(np.ndarray) for name, array in arrays.items()})


def _checksum(path: Path) -> int:
    """CRC-32 of a whole file: its header says how to read the numbers, so it counts as well."""
    return zlib.crc32(np.memmap(path, np.uint8, "r").data)
