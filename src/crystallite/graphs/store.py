"""Graphs on disk: built once, shared by all runs, folds and trials.

A store is a folder (`files.array_folder`) named after the crystals' fingerprint, the graph settings and the
algorithm's version; it is built in parts, mapped when it is large, and rebuilt when damaged.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

from ..computing.progress import progress_bar
from ..datasets.dataset import Dataset
from ..files.array_folder import ArrayWriter, written_once
from ..files.caching import cache_folder
from ..settings.config import GraphConfig
from .packed import ALGORITHM_VERSION, PackedGraphs, build_graphs, graph_parts, pack_graphs_of_nothing

STORED = tuple(name for name in PackedGraphs._fields if name != "crystals")


def dataset_graphs(
    dataset: Dataset,
    config: GraphConfig,
    *,
    workers: int = 1,
    progress: bool = False,
    folder: Path | None = None,
) -> PackedGraphs:
    """Return the graphs of a dataset from the store, building them the first time.

    Memory does not grow with the crystals, and a building that was stopped goes on. Two processes that ask at
    once build once. When the store cannot be written (no room, no permission) the graphs are built in memory,
    with a warning.
    """
    folder = (folder or cache_folder()) / "graphs" / store_key(dataset.fingerprint, config)

    def write(writer: ArrayWriter) -> None:
        _write_graphs(writer, dataset, config, workers, progress)

    try:
        arrays = written_once(folder, STORED, write)
        if arrays is not None:
            return PackedGraphs(**arrays, crystals=dataset.arrays)
    except OSError as error:
        warnings.warn(f"graphs cannot be cached in {folder}: {error}", stacklevel=2)
    return build_graphs(dataset.arrays, config, dataset.ids, workers=workers, progress=progress)


def store_key(fingerprint: str, config: GraphConfig) -> str:
    """Return the name of the store of these crystals under these settings."""
    identity = [ALGORITHM_VERSION, fingerprint, config.effective().to_dict()]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _write_graphs(
    writer: ArrayWriter, dataset: Dataset, config: GraphConfig, workers: int, progress: bool
) -> None:
    """Build the graphs that are not yet written, a part at a time."""
    if not writer.lengths:
        nothing = pack_graphs_of_nothing()
        writer.append(**{name: getattr(nothing, name) for name in STORED})
    done, total = writer.lengths["node_offsets"] - 1, len(dataset)
    bar = progress_bar(doing="building graphs", unit="crystals", total=total, done=done, shown=progress)
    ids = dataset.table["material_id"]

    def name_of(crystal: int) -> str:
        return str(ids[done + crystal])

    with bar:
        for part in graph_parts(dataset.arrays.part(done, total), config, name_of, workers=workers):
            arrays = {name: getattr(part, name) for name in STORED}
            arrays["node_offsets"] = part.node_offsets[1:] + writer.lengths["numbers"]
            arrays["edge_offsets"] = part.edge_offsets[1:] + writer.lengths["neighbors"]
            writer.append(**arrays)
            bar.update(part.n_crystals)
