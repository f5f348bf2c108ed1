"""Screening: predictions for every distinct material among the crystals of inputs of any size.

One loop goes through the pieces of the inputs in order. Each is read elsewhere to crystals, graphs and keys;
here it is told which crystal is the first of its material; these alone are predicted, elsewhere; and what
became of the piece is written. What depends on an order is done here, so that the results do not depend on
how many workers there are and where, nor on when a run was stopped and begun again.

Cost: 32 bytes of memory and one id for each distinct material, and some pieces that are under way.
"""

from __future__ import annotations

import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from ..computing.progress import progress_bar
from ..computing.threads import usable_cores
from ..errors import CrystalliteError
from ..extras import needed
from ..files.writing import write_json
from ..sources.pieces import Piece, each_piece, label, n_bytes
from ..sources.reading.input_file import shown
from ..sources.remote import is_remote, remote_source
from ..sources.resolver import Source, located
from .engine import Engine, Predicting, Reading, local_processes
from .plan import asked, keep_to
from .ray_cluster import ray_cluster
from .results import KINDS, ODD, PREDICTIONS, UNFINISHED, Results, keys_of
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
    models: str | Path | Sequence[str | Path],
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    where: str = "",
    by: str = "",
    top: int | None = None,
    interval: float = 90.0,
    workers: int | None = None,
    ray: str | None = None,
    share: Share = WHOLE,
    progress: bool = True,
) -> Summary:
    """Predict every distinct material among the crystals of inputs of any size, and list the best.

    A script that calls this begins with `if __name__ == "__main__":`, as worker processes import it.

    Args:
        models: what `load_model` takes, `all` for every model that comes with the package, or several.
        inputs: files, folders or patterns of files with structures, tar and zip files of them, datasets, or
            addresses of such files in object storage; one or several.
        output: folder of the results. What is there of the same screening is kept.
        where: condition of the shortlist, in SQL of DuckDB.
        by: order of the shortlist, the smallest first, in SQL.
        top: how many crystals the shortlist has at most.
        interval: percentage of true values between NAME_lower and NAME_upper, where models know their errors.
        workers: number of processes, one for each core by default.
        ray: address of a Ray cluster that does the work instead.
        share: of several runs that share the folder, what this one does; a run without it then completes the
            folder, and finds the materials that several of them met.
        progress: whether a bar is shown at a terminal.

    Returns:
        How many crystals there are of each kind.

    Raises:
        CrystalliteError: if an input or a model is not there, a condition makes no sense, the folder was
            begun with others or another run works in it, when interrupted, and when a file cannot be written.
    """
    if ray:
        needed("ray", "--ray", "crystallite[ray]")  # before a folder is made
    words, files = ([one] if isinstance(one, str | Path) else list(one) for one in (models, inputs))
    engine = (
        partial(ray_cluster, address=ray)
        if ray
        else partial(local_processes, workers=workers or usable_cores())
    )
    question = Question(tuple(map(str, words)), interval)
    return screen_with(
        engine, question, files, Path(output), Choice(where, by, top), share, progress=progress
    )


def screen_with(
    engine: Callable[[Question], AbstractContextManager[Engine]],
    question: Question,
    inputs: Sequence[str | Path],
    folder: Path,
    choice: Choice = NO_CHOICE,
    share: Share = WHOLE,
    *,
    progress: bool = True,
) -> Summary:
    """Do what `screen` does; engine: opens what does the work, such as `local_processes`."""
    sources = [remote_source(str(item)) if is_remote(item) else located(item) for item in inputs]
    worker = Worker(question)
    notices = [notice for source in sources for notice in source.files.notices]
    for notice in [*notices, *{predictor.notice for predictor in worker.predictors if predictor.notice}]:
        warnings.warn(notice, stacklevel=2)
    if choice:
        check_choice(choice, worker.columns)
    for source in sources:
        if source.kind != "remote" and folder.resolve().is_relative_to(source.path.resolve()):
            raise CrystalliteError(f"{folder}: lies in the input {source.path}; choose a folder elsewhere")
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
            summary = summary._replace(listed=write_shortlist(results, choice, pieces))
    return summary


@contextmanager
def _alone_in(folder: Path, share: Share) -> Iterator[None]:
    """Keep other runs out: the whole all shares, a share the whole, itself and shares of another number."""
    if shown(folder) != str(folder):
        raise CrystalliteError(f"{shown(folder)}: the name is not valid text; choose another")
    mine = folder / f".lock-{share.remainder}-of-{share.of}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path for path in folder.glob(".lock-*") if path != mine]
        if share != WHOLE:
            if (folder / SUMMARY).exists():
                raise CrystalliteError(f"{folder} is complete: there is nothing left to share")
            others = [path for path in others if not path.name.endswith(f"-of-{share.of}")]
        with FileLock(mine, timeout=0), ExitStack() as checked:
            for other in others:
                checked.enter_context(FileLock(other, timeout=0))
            if share == WHOLE:
                shutil.rmtree(folder / UNFINISHED, ignore_errors=True)  # of runs that were killed
            else:
                checked.close()
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
    piece: str
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
