"""Screening: predictions for every distinct material among the crystals of inputs of any size.

One loop goes through the pieces of the inputs in order. Each is read elsewhere to crystals, graphs and keys;
here it is told which crystal is the first of its material; these alone are predicted, elsewhere; and what
became of the piece is written. What depends on an order is done here, so that the results do not depend on
how many workers there are and where, nor on when a run was stopped and begun again.

Cost: 32 bytes of memory and one id for each distinct material, and some pieces that are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from ..computing.progress import progress_bar
from ..errors import CrystalliteError
from ..files.writing import write_json
from ..sources.pieces import Piece, each_piece, n_bytes
from ..sources.remote import is_remote, remote_source
from ..sources.resolver import Source, located
from .engine import Engine, Predicting, Reading
from .plan import asked, keep_to
from .results import KINDS, ODD, Results, keys_of
from .seen import FirstIds, Integers, Seen, places_of
from .shortlist import NO_CHOICE, Choice, check_choice, write_shortlist
from .work import Crystals, Question, Worker

SUMMARY = "summary.json"


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


def screen(
    question: Question,
    inputs: Sequence[str | Path],
    folder: Path,
    engine: Callable[[Question], AbstractContextManager[Engine]],
    choice: Choice = NO_CHOICE,
    share: Share = WHOLE,
    *,
    progress: bool = True,
) -> Summary:
    """Predict every distinct material among the crystals of the inputs, and write what became of each.

    Args:
        question: what is asked of every crystal.
        inputs: files, folders or patterns of files with structures, tar and zip files of them, or datasets.
        folder: where the results are written, see `results`. What is there of the same screening is kept.
        engine: opens what does the work, such as `local_processes`.
        choice: which crystals make the shortlist; without any there is none.
        share: of several runs that share the folder, what this one does; a run without it then completes the
            folder, and finds the materials that several of them met.
        progress: whether a bar is shown at a terminal.

    Returns:
        How many crystals there are of each kind, in this share.

    Raises:
        CrystalliteError: if an input or a model is not there, if the folder was begun with others or another
            run works in it, when interrupted, and when a file cannot be written.
    """
    sources = [remote_source(str(item)) if is_remote(item) else located(item) for item in inputs]
    worker = Worker(question)
    if choice:
        check_choice(choice, worker.columns)
    with _alone_in(folder, share):
        keep_to(folder, asked(question, worker, sources))
        results = Results(folder, worker.columns)
        with progress_bar(doing="screening", unit="crystals", shown=progress) as bar, engine(question) as at:
            loop = _Loop(results, at, share)
            try:
                for done in loop.run(_all_pieces(sources)):
                    bar.total = round(loop.n_crystals / max(done, 1e-9))
                    bar.update(loop.n_crystals - bar.n)
            except KeyboardInterrupt:
                raise CrystalliteError(
                    f"interrupted; {loop.n_crystals:,} crystals are in {folder}, and the same command goes on"
                ) from None
        summary = loop.summary()
        if share == WHOLE:
            write_json(folder / SUMMARY, loop.counts)
        if choice:
            pieces = (piece for piece, _ in _all_pieces(sources))
            summary = summary._replace(listed=write_shortlist(folder, choice, worker.columns, pieces))
    return summary


@contextmanager
def _alone_in(folder: Path, share: Share) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    name = f".lock-{share.remainder}-of-{share.of}"
    try:
        with FileLock(folder / name, timeout=0):
            yield
    except Timeout:
        raise CrystalliteError(f"another run writes to {folder}: wait until it ends, or stop it") from None


def _all_pieces(sources: Sequence[Source]) -> Iterator[tuple[Piece, float]]:
    """Yield the pieces of all inputs, and what fraction of all is done with each."""
    sizes = [n_bytes(source) for source in sources]
    for number, source in enumerate(sources):
        for piece in each_piece(source):
            yield piece, (sum(sizes[:number]) + piece.done * sizes[number]) / max(sum(sizes), 1)


class _Read(NamedTuple):
    """A piece that is being read; None where its part is done."""

    part: int
    piece: Piece
    done: float
    reading: Reading | None


class _Predicted(NamedTuple):
    """A piece that is being predicted."""

    part: int
    done: float
    crystals: Crystals
    first: Integers
    ids: dict[int, str]
    predicting: Predicting


class _Loop:
    """The pieces that are under way, and what is known of the crystals so far."""

    def __init__(self, results: Results, engine: Engine, share: Share) -> None:
        self._results, self._engine, self._share = results, engine, share
        self._seen, self._ids = Seen(), FirstIds()
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
            earlier = self._results.read(part)
            first, ids = self._first(part, earlier.crystals)
            is_same = np.array_equal(first, earlier.first)
            if is_same or self._results.move(part, earlier, first, ids):
                self._before += int((first == places_of(part, earlier.crystals["row"].to_numpy())).sum())
                self._count(part)
                yield done
                return
            reading = self._engine.read(piece)
            crystals = reading.crystals()
        else:
            crystals = reading.crystals()
            first, ids = self._first(part, crystals.found)
        rows = np.flatnonzero(first == places_of(part, crystals.found["row"].to_numpy()))
        self._predicting.append(_Predicted(part, done, crystals, first, ids, reading.predict(rows)))
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
        part, done, crystals, first, ids, predicting = self._predicting.popleft()
        self._results.write(part, crystals, first, ids, predicting.result())
        self._count(part)
        return done

    def _count(self, part: int) -> None:
        for kind in self.counts:
            self.counts[kind] += self._results.n_rows(kind, part)
