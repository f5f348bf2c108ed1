"""What a process does that works for a screening: crystals of a piece to graphs and keys, graphs to rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..crystals.crystal import Crystal, CrystalArrays
from ..crystals.notices import gathered
from ..errors import CrystalError, CrystalliteError, StorageError
from ..files.failures import may_pass
from ..files.typed_tables import Column, arrow_field
from ..graphs.packed import Indices, PackedGraphs, graphs_of
from ..materials.keys import material_keys
from ..models.loading import load_model, load_ready
from ..models.predictor import Predictor
from ..models.ready import ALL, ready_models, ready_name
from ..models.tables import Extras, are_numbers, check_table, joined, own_table, table_columns
from ..sources.piece_reading import read_piece
from ..sources.pieces import Piece
from ..sources.reading.record import CrystalResult
from ..sources.streaming import Wanted, graphs_of_chunk


class Question(NamedTuple):
    """What is asked of every crystal: words for models, and the level of intervals in percent.

    Models that do not know their errors give no intervals. skip_unreadable: whether what a disk or a network
    does not give counts among the bad crystals.
    """

    models: tuple[str, ...]
    interval: float = 90.0
    skip_unreadable: bool = False


CRYSTALS = pa.schema(
    [
        ("material_id", pa.string()),
        ("source", pa.string()),
        ("row", pa.int32()),
        ("material_key", pa.int64()),
        ("material_key_shifted", pa.int64()),
    ]
)
_BAD = pa.schema(
    [("material_id", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("row", pa.int32())]
)
_ODD = pa.schema([("source", pa.string()), ("kind", pa.string()), ("detail", pa.string())])


class Crystals(NamedTuple):
    """The crystals of a piece.

    found: a table of those that can be used, see CRYSTALS: id, where the crystal stands, its number in the
    piece from 0, and its keys (`material_keys`). bad: of the others, with the reason. odd: what is odd about
    crystals but no error.
    """

    found: pa.Table
    bad: pa.Table
    odd: pa.Table


class Predicted(NamedTuple):
    """Predictions of some crystals, a row each, and which rows hold numbers."""

    table: pa.Table
    are_numbers: NDArray[np.bool_]


Listed = Mapping[int, tuple[str, str]]  # ids and sources by the numbers of crystals in a piece
Picked = dict[int, Crystal]  # structures by the same numbers


class Worker:
    """Reads pieces and predicts; it loads its models once. One thread: there is a worker for each core."""

    def __init__(self, question: Question) -> None:
        self.predictors = loaded(question.models)
        self._extras = extras_of(question, self.predictors)
        self._skip_unreadable = question.skip_unreadable
        self._configs = list(dict.fromkeys(predictor.model.graph for predictor in self.predictors))
        self._needs_crystals = any(
            model.config.method == "kernel" for predictor in self.predictors for model in predictor.models
        )

    @property
    def columns(self) -> list[Column]:
        """The columns of the tables."""
        return table_columns(self.predictors, self._extras)

    def read(self, piece: Piece) -> tuple[Crystals, list[PackedGraphs]]:
        """Return the crystals of a piece, and their graphs by each of the models' graph settings."""
        with gathered() as notices:
            read = list(read_piece(piece, skip_unreadable=self._skip_unreadable))
        ids, sources = [_text(one.id) for one in read], [_text(one.source) for one in read]
        reasons = {
            row: _text(one.crystal.reason)
            for row, one in enumerate(read)
            if isinstance(one.crystal, CrystalError)
        }
        rows, graphs = self._graphs([one.crystal for one in read], reasons)
        keys = self._keys(graphs)
        columns = [[ids[row] for row in rows], [sources[row] for row in rows], rows, *keys.T]
        bad = sorted(reasons)
        return Crystals(
            _table(columns, CRYSTALS),
            _table([*([column[row] for row in bad] for column in (ids, sources, reasons)), bad], _BAD),
            _table([[_text(getattr(one, name)) for one in notices] for name in _ODD.names], _ODD),
        ), graphs

    def predict(self, graphs: Sequence[PackedGraphs], rows: Indices) -> Predicted:
        """Return predictions of some of the crystals that `read` returned; rows: counted in their table."""
        schema = pa.schema(map(arrow_field, self.columns))
        if not len(rows):
            return Predicted(schema.empty_table(), np.zeros(0, bool))
        parts = [graphs_of(one, rows) for one in graphs]
        by_config = dict(zip(self._configs, parts, strict=True))
        tables = [own_table(one, by_config[one.model.graph], self._extras) for one in self.predictors]
        table = joined(self.predictors, tables, self._extras)
        return Predicted(_table(list(table.values()), schema), are_numbers(self.predictors, table))

    def _keys(self, graphs: Sequence[PackedGraphs]) -> NDArray[np.int64]:
        """Return keys that are equal where all models see the same."""
        keys = [material_keys(one) for one in graphs]
        if self._needs_crystals and graphs[0].crystals is not None:
            keys.append(_as_written(graphs[0].crystals))
        return keys[0] if len(keys) == 1 else _combined(keys)

    def _graphs(
        self, crystals: Sequence[CrystalResult], reasons: dict[int, str]
    ) -> tuple[list[int], list[PackedGraphs]]:
        """Return the numbers of the crystals that have graphs by all settings, and these.

        reasons: why others have none, by number; those are added.
        """
        kept = [row for row in range(len(crystals)) if row not in reasons]

        def note(error: CrystalError) -> None:
            reasons[int(error.source)] = error.reason

        found: list[tuple[list[int], PackedGraphs]] = []
        for config in self._configs:
            names = [str(row) for row in kept]
            good, graphs = graphs_of_chunk(Wanted(config), names, [crystals[row] for row in kept], note)
            kept = [int(name) for name in good]
            found.append((kept, graphs))
        return kept, [self._fit(rows, kept, graphs) for rows, graphs in found]

    def _fit(self, rows: list[int], kept: list[int], graphs: PackedGraphs) -> PackedGraphs:
        """Return the graphs of those that are kept, with the crystals only where models look at them."""
        if len(rows) != len(kept):
            graphs = graphs_of(graphs, np.searchsorted(rows, kept))
        return graphs if self._needs_crystals else graphs._replace(crystals=None)


def picked(piece: Piece, listed: Listed) -> Picked:
    """Return the structures of some crystals of a piece.

    Raises CrystalliteError if one of them cannot be read any more, or does not stand where it did.
    """
    found = {}
    with gathered():  # what is odd has been told
        for row, one in islice(enumerate(read_piece(piece, skip_unreadable=True)), max(listed) + 1):
            if row not in listed:
                continue
            if listed[row] != (_text(one.id), _text(one.source)):
                break
            if isinstance(one.crystal, CrystalError):
                kind = StorageError if may_pass(one.crystal) else CrystalliteError
                raise kind(f"{one.crystal}; it is on the shortlist: --where leaves it out")
            found[row] = one.crystal
    for row in listed.keys() - found.keys():
        raise CrystalliteError(moved(*listed[row]))
    return found


def moved(name: str, source: str) -> str:
    """Return what to say of a crystal that does not stand where it was predicted."""
    return f"{source}: {name} is not there any more, where it was predicted; the input has changed"


def _combined(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return (N, 2) keys made of several, whatever their order."""
    factor = np.uint64(0x9E3779B97F4A7C15)
    mixed = [(one.view(np.uint64) ^ (one.view(np.uint64) >> np.uint64(31))) * factor for one in keys]
    return np.asarray(np.sum(mixed, axis=0, dtype=np.uint64)).view(np.int64)


def _as_written(crystals: CrystalArrays) -> NDArray[np.int64]:
    """Return (N, 2) keys of crystals that are equal where they are written alike, number by number."""
    keys = np.empty((crystals.n_crystals, 2), np.int64)
    for row in range(crystals.n_crystals):
        crystal = crystals.crystal(row)
        digest = hashlib.blake2b(crystal.numbers.tobytes(), digest_size=8)
        digest.update(crystal.lattice.tobytes() + crystal.frac_coords.tobytes())
        keys[row] = int.from_bytes(digest.digest(), "little", signed=True)
    return keys


def _text(text: str) -> str:
    """Return text as a table may hold it: halves of characters become question marks."""
    return text.encode(errors="replace").decode()


def _table(columns: Sequence[Any], schema: pa.Schema) -> pa.Table:
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema
    )


def loaded(words: Sequence[str]) -> list[Predictor]:
    """Load the models that words stand for, each once; ready models of one file are evaluated together."""
    names = {word: ready_name(word) for word in words}
    ready = dict.fromkeys(name for name in names.values() if name)
    own = [load_model(word) for word, name in names.items() if not name]
    return [*load_ready(ready_models() if ALL in ready else ready), *own]


def extras_of(question: Question, predictors: Sequence[Predictor]) -> Extras:
    """Return what is asked for beside the values; raises CrystalliteError where that makes no sense."""
    extras = Extras(question.interval)
    check_table(predictors, extras)
    return extras
