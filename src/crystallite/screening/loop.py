"""The loop of a screening over the pieces of its inputs, in order, whoever does the work.

Each piece is read elsewhere to crystals, graphs and keys; here it is told which crystal is the first of its
material; these alone are predicted, elsewhere; and what became of the piece is written. What depends on an
order is done here, so that the results do not depend on how many workers there are and where, nor on when a
run was stopped and begun again.

Cost: 32 bytes of memory and one id for each distinct material, and some pieces that are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..computing.processes import Pending
from ..sources.pieces import Piece, label
from .engine import Engine, Reading
from .results import KINDS, ODD, PREDICTIONS, Results, keys_of
from .seen import FirstIds, FirstPlaces, Integers, places_of
from .work import Crystals, Predicted


class Share(NamedTuple):
    """Which pieces a run works on: those whose number leaves `remainder` when divided by `of`."""

    remainder: int = 0
    of: int = 1

    def has(self, part: int) -> bool:
        """Whether a piece is among them."""
        return part % self.of == self.remainder


WHOLE = Share()


class Summary(NamedTuple):
    """What became of the crystals: how many were predicted, are further ones of a material, are bad, are odd;
    how many were predicted by earlier runs in the same folder, and how many are on the shortlist.
    """

    predictions: int
    duplicates: int
    bad: int
    odd: int
    predicted_before: int
    listed: int | None = None


class _Read(NamedTuple):
    """A piece that is being read; None where its part is done."""

    part: int
    piece: Piece
    done: float
    reading: Reading | None


class _Predicted(NamedTuple):
    """A piece that is being predicted."""

    part: int
    piece: str
    done: float
    crystals: Crystals
    first: Integers
    ids: dict[int, str]
    predicting: Pending[Predicted]


class Loop:
    """The pieces that are under way, and what is known of the crystals so far."""

    def __init__(self, results: Results, engine: Engine, share: Share) -> None:
        self._results, self._engine, self._share = results, engine, share
        self._seen, self._ids = FirstPlaces(), FirstIds()
        self._reading: deque[_Read] = deque()
        self._predicting: deque[_Predicted] = deque()
        self.counts = dict.fromkeys(KINDS, 0)  # crystals of each kind that have been done
        self._before = 0

    @property
    def n_crystals(self) -> int:
        """How many crystals have been done."""
        return sum(count for kind, count in self.counts.items() if kind != ODD)

    def summary(self) -> Summary:
        """Return what became of the crystals."""
        return Summary(**self.counts, predicted_before=self._before)

    def run(self, pieces: Iterator[tuple[Piece, float]]) -> Iterator[float]:
        """Do all pieces; yield what fraction is done after each."""
        for part, (piece, done) in enumerate(pieces):
            if self._share.has(part):
                reading = None if self._results.has(part) else self._engine.read(piece)
                self._reading.append(_Read(part, piece, done, reading))
            while len(self._reading) > self._engine.window:
                yield from self._settle()
        while self._reading:
            yield from self._settle()
        while self._predicting:
            yield self._write()

    def _settle(self) -> Iterator[float]:
        """Tell which crystals of the next piece are the first of their materials; let them be predicted."""
        part, piece, done, reading = self._reading.popleft()
        if reading is None:
            earlier = self._results.read(part, label(piece))
            first, ids = self._first(part, earlier.crystals)
            counts: dict[str, int] | None = earlier.counts
            if not np.array_equal(first, earlier.first) and self._share == WHOLE:
                counts = self._results.move(part, label(piece), earlier, first, ids)
            if counts is not None:
                self._before += counts[PREDICTIONS]
                self._count(counts)
                yield done
                return
            reading = self._engine.read(piece)
            crystals = reading.crystals()
        else:
            crystals = reading.crystals()
            first, ids = self._first(part, crystals.found)
        rows = np.flatnonzero(first == places_of(part, crystals.found["row"].to_numpy()))
        self._predicting.append(
            _Predicted(part, label(piece), done, crystals, first, ids, reading.predict(rows))
        )
        while len(self._predicting) > self._engine.window:
            yield self._write()

    def _first(self, part: int, crystals: pa.Table) -> tuple[Integers, dict[int, str]]:
        """Return the places of the first of each crystal's material, and the ids at places in other parts."""
        rows = crystals["row"].to_numpy()
        places = places_of(part, rows)
        first = self._seen.first(keys_of(crystals), places)
        is_first = first == places
        self._ids.add(part, rows[is_first], crystals["material_id"].combine_chunks().filter(is_first))
        return first, self._ids.of(first[~is_first])

    def _write(self) -> float:
        """Write what became of the next piece; return what fraction of all is done with it."""
        part, piece, done, crystals, first, ids, predicting = self._predicting.popleft()
        self._count(self._results.write(part, piece, crystals, first, ids, predicting.result()))
        return done

    def _count(self, counts: dict[str, int]) -> None:
        for kind, count in counts.items():
            self.counts[kind] += count
