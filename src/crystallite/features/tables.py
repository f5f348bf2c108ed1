"""Tables of descriptors: `crystallite.descriptors`, a pandas DataFrame; streamed from files to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..crystals.crystal import as_crystal, is_one
from ..errors import CrystalError, CrystalliteError
from ..extras import needed
from ..files.typed_tables import Column, Table
from ..graphs.packed import PackedGraphs, build_graphs, gather_batch
from ..settings.config import GraphConfig
from ..sources.streaming import Bad, Report, Wanted, streamed, write_table
from .descriptors import DESCRIPTORS, UNITS, descriptor_values

if TYPE_CHECKING:
    import pandas as pd


def descriptors(inputs: Any, *, workers: int = 1) -> pd.DataFrame:
    """Describe crystals by some hundred numbers of composition, cell and bonds.

    Args:
        inputs: files, folders or patterns of files with structures, or datasets, one or a list of them, as
            the command line takes them; a Dataset; or a list of Crystals, pymatgen Structures or ASE Atoms.
        workers: number of threads that build graphs.

    Returns:
        One row per crystal, indexed by material_id (0, 1, ... for crystals without one), and a float64 column
        for each of `docs/descriptors.md`. `attrs["units"]` holds the units.

    Raises:
        CrystalliteError: naming a file or crystal that cannot be used.
    """
    pandas = needed("pandas", "descriptors", "pandas")
    from ..datasets.dataset import Dataset

    is_data = isinstance(inputs, Dataset)
    words: Any = inputs if is_data else [inputs] if is_one(inputs) else list(inputs)
    if is_data:
        ids, parts = (
            words.ids,
            [_values(build_graphs(words.arrays, GraphConfig(), words.ids, workers=workers))],
        )
    elif words and all(isinstance(word, str | Path) for word in words):
        bad: list[CrystalError] = []
        ids, parts = [], []
        for names, graphs in streamed(words, Wanted(GraphConfig(), workers), [], bad.append):
            ids += names
            parts.append(_values(graphs))
        if bad:
            raise CrystalliteError("; ".join(map(str, bad[:10])))
    else:
        crystals = [as_crystal(item, f"crystal {k}") for k, item in enumerate(words)]
        ids = [str(row) for row in range(len(crystals))]
        parts = [_values(build_graphs(crystals, GraphConfig(), ids, workers=workers))]
    values = np.concatenate([np.empty((0, len(DESCRIPTORS))), *parts])
    frame = pandas.DataFrame(values, pandas.Index(ids, name="material_id"), list(DESCRIPTORS))
    frame.attrs["units"] = dict(UNITS)
    return frame


def describe_files(
    inputs: Sequence[str],
    output: Path | None,
    *,
    workers: int = 1,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> Report:
    """Write the descriptors of every crystal of the inputs to a table; see `sources.streaming`."""

    def table_of(ids: list[str], graphs: PackedGraphs, bad: Bad) -> tuple[list[str], Table]:
        return ids, dict(zip(DESCRIPTORS, _values(graphs).T, strict=True))

    columns = [Column(name, UNITS.get(name, "")) for name in DESCRIPTORS]
    return write_table(
        inputs, output, columns, Wanted(GraphConfig(), workers), table_of,
        doing="describing", progress=progress, on_bad=on_bad,
    )  # fmt: skip


def _values(graphs: PackedGraphs) -> np.ndarray:
    return descriptor_values(gather_batch(graphs, np.arange(graphs.n_crystals)))
