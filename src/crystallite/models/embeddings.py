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
        found, crystals = vectors_of(model, graphs, atoms)
        table: Table = {}
        if atoms:
            first = graphs.node_offsets[crystals]
            names = np.array(symbols(), object)[graphs.numbers]
            table = {"atom": np.arange(len(first)) - first, "element": names}
        numbers = found.astype(np.float64).T
        table |= dict(zip((column.name for column in vectors), numbers, strict=True))
        wrong = without_vector(found, crystals)
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


def vectors_of(
    model: TrainedModel, graphs: PackedGraphs, atoms: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return (rows, atom_width) vectors of crystals or (graphs not reduced) of atoms, and whose each is."""
    crystals = np.arange(graphs.n_crystals)
    if not atoms:
        return predict_and_embed(model, graphs)[1], crystals
    if not len(crystals):
        return np.empty((0, model.config.atom_width), np.float32), crystals
    assert isinstance(model.evaluator, EvaluationNetwork)  # `check_atoms` refuses others
    return of_nodes(model.evaluator.atoms, graphs), np.repeat(crystals, np.diff(graphs.node_offsets))


def without_vector(vectors: NDArray[np.float32], crystals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the crystals of which a vector is not finite; crystals: (rows,) whose each is."""
    return np.unique(crystals[~np.isfinite(vectors).all(axis=1)])
