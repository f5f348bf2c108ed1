"""Embeddings: what a model makes of a crystal before it reads a property out of it, as vectors.

Of a network the mean over the atoms of their vectors after the last convolution, or the vectors of the atoms;
of a kernel machine its scaled descriptors. Vectors of a crystal depend on the crystal alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..crystals.elements import symbols
from ..errors import CrystalError, CrystalliteError
from ..files.typed_tables import Column, Table
from ..graphs.packed import PackedGraphs
from ..network.evaluation import EvaluationNetwork
from ..sources.streaming import Bad, Report, Wanted, write_table
from .checkpoint import TrainedModel
from .inference import of_nodes, predict_and_embed
from .predictor import Predictor

NO_VECTOR = "its vector is not made of finite numbers: it is unlike anything the model was trained on"


def embed_files(
    predictor: Predictor,
    inputs: Sequence[str],
    output: Path | None,
    *,
    atoms: bool = False,
    workers: int = 1,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> Report:
    """Write the embedding of every crystal of the inputs, or of every atom, to a table.

    inputs, output, on_bad: see `sources.streaming`. Of an ensemble the embedding is that of the first member.
    """
    model = predictor.model
    check_atoms(model, atoms)
    vectors = [Column(f"embedding_{k}") for k in range(model.config.atom_width)]
    of_atoms = [Column("atom", is_whole=True), Column("element", is_text=True)] if atoms else []

    def table_of(ids: list[str], graphs: PackedGraphs, bad: Bad) -> tuple[list[str], Table]:
        found = (atom_vectors if atoms else embedding_of)(model, graphs).astype(np.float64)
        counts = np.diff(graphs.node_offsets) if atoms else np.ones(len(ids), np.int64)
        crystals = np.repeat(np.arange(len(ids)), counts)
        table: Table = {}
        if atoms:
            first = graphs.node_offsets[crystals]
            names = np.array(symbols(), object)[graphs.numbers]
            table = {"atom": np.arange(len(first)) - first, "element": names}
        table |= dict(zip((column.name for column in vectors), found.T, strict=True))
        wrong = np.unique(crystals[~np.isfinite(found).all(axis=1)])
        for crystal in wrong:
            bad(CrystalError(ids[crystal], NO_VECTOR))
        kept = ~np.isin(crystals, wrong)
        return [ids[k] for k in crystals[kept]], {name: column[kept] for name, column in table.items()}

    return write_table(
        inputs, output, [*of_atoms, *vectors], Wanted(model.graph, workers, reduced=not atoms), table_of,
        doing="embedding", progress=progress, on_bad=on_bad,
    )  # fmt: skip


def check_atoms(model: TrainedModel, atoms: bool) -> None:
    """Raise CrystalliteError if vectors of atoms are wanted of a model that has none."""
    if atoms and model.config.method == "kernel":
        raise CrystalliteError(
            "a model of the recipe small describes whole crystals: it has no vectors of atoms"
        )


def embedding_of(model: TrainedModel, graphs: PackedGraphs) -> NDArray[np.float32]:
    """Return (crystals, atom_width)."""
    return predict_and_embed(model, graphs)[1]


def atom_vectors(model: TrainedModel, graphs: PackedGraphs) -> NDArray[np.float32]:
    """Return (nodes, atom_width): one row an atom of graphs that are not reduced."""
    if not graphs.n_crystals:
        return np.empty((0, model.config.atom_width), np.float32)
    return of_nodes(EvaluationNetwork(model.config, model.weights).atoms, graphs)
