"""Predictions and vectors of crystals by several models: one row a crystal, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import Crystal
from ..errors import CrystalError
from ..files.typed_tables import Table
from ..graphs.packed import PackedGraphs
from ..models.embeddings import NO_VECTOR, vectors_of, without_vector
from ..models.predictor import NO_NUMBER
from ..models.tables import Extras, are_numbers, own_table
from ..settings.config import GraphConfig
from ..sources.streaming import Wanted, graphs_of_chunk
from .catalogue import Catalogue, Selected


class Prediction(NamedTuple):
    """Ask for predictions: by which models, and what beside the values."""

    models: tuple[str, ...]
    extras: Extras


class Embedding(NamedTuple):
    """Ask for the vectors that a model reads its prediction from."""

    model: str


Row = list[dict[str, Any]]  # of a crystal: the columns of each selected model
Result = Row | NDArray[np.float32] | CrystalError


def evaluate(
    catalogue: Catalogue, question: Prediction | Embedding, crystals: Sequence[Crystal]
) -> list[Result]:
    """Return for each crystal its rows or its vector, or why there is none."""
    if isinstance(question, Embedding):
        return _vectors(catalogue.select([question.model])[0], crystals)
    return _rows(catalogue.select(question.models), question.extras, crystals)


def _rows(selected: Sequence[Selected], extras: Extras, crystals: Sequence[Crystal]) -> list[Result]:
    found: list[Row] = [[] for _ in crystals]
    bad: dict[int, CrystalError] = {}
    graphs: dict[GraphConfig, tuple[list[int], PackedGraphs]] = {}
    for predictor, _ in selected:
        config = predictor.model.graph
        if config not in graphs:
            graphs[config] = _graphs(config, crystals, bad)
        rows, packed = graphs[config]
        if not rows:
            continue
        table = own_table(predictor, packed, extras)
        for row in np.flatnonzero(~are_numbers([predictor], table)).tolist():
            bad[rows[row]] = CrystalError("", NO_NUMBER)
        columns = {name: column.tolist() for name, column in table.items()}
        for place, row in enumerate(rows):
            found[row].append({name: column[place] for name, column in columns.items()})
    return [bad.get(row, of_crystal) for row, of_crystal in enumerate(found)]


def _vectors(selected: Selected, crystals: Sequence[Crystal]) -> list[Result]:
    bad: dict[int, CrystalError] = {}
    rows, packed = _graphs(selected.predictor.model.graph, crystals, bad)
    if not rows:
        return [bad[row] for row in range(len(crystals))]
    found, places = vectors_of(selected.predictor.model, packed, atoms=False)
    vectors = dict(zip(rows, found, strict=True))
    bad |= {rows[place]: CrystalError("", NO_VECTOR) for place in without_vector(found, places)}
    return [bad[row] if row in bad else vectors[row] for row in range(len(crystals))]


def _graphs(
    config: GraphConfig, crystals: Sequence[Crystal], bad: dict[int, CrystalError]
) -> tuple[list[int], PackedGraphs]:
    """Return which crystals have graphs, and these; why others have none is added to `bad`."""

    def note(error: CrystalError) -> None:
        bad[int(error.source)] = CrystalError("", error.reason)

    names = [str(row) for row in range(len(crystals))]
    kept, packed = graphs_of_chunk(Wanted(config), names, list(crystals), note)
    return [int(name) for name in kept], packed


def tables_of(rows: Sequence[Row]) -> list[Table]:
    """Return the tables of each selected model, of rows of crystals; at least one row."""
    return [
        {name: np.array([row[k][name] for row in rows], _kind(first)) for name, first in rows[0][k].items()}
        for k in range(len(rows[0]))
    ]


def _kind(value: Any) -> type:
    return object if isinstance(value, str) else np.float64
