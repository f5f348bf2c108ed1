"""Where the work of a screening is done: processes of this machine, or a Ray cluster (`ray_cluster`).

The same loop (`screening`) hands work to either, so that the results are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from ..computing.processes import Pending, worker_processes
from ..errors import CrystalliteError
from ..graphs.packed import Indices, PackedGraphs
from ..sources.pieces import Piece
from .work import Crystals, Listed, Picked, Predicted, Question, Worker, picked

T = TypeVar("T")


class Reading(Protocol):
    """The crystals of a piece, being read elsewhere."""

    def crystals(self) -> Crystals:
        """Wait for them."""

    def predict(self, rows: Indices) -> Pending[Predicted]:
        """Let some of them be predicted; rows: counted in their table."""


class Engine(Protocol):
    """Workers."""

    @property
    def window(self) -> int:
        """How many pieces are worth having under way at once."""

    def read(self, piece: Piece) -> Reading:
        """Let a piece be read."""

    def pick(self, piece: Piece, listed: Listed) -> Pending[Picked]:
        """Let the structures of some crystals of a piece be read again."""


@contextmanager
def local_processes(question: Question, workers: int) -> Iterator[Engine]:
    """Yield an engine of so many processes of this machine."""
    with _one_thread_each(), worker_processes(workers, _begin, question) as pool:
        yield _Processes(pool, 2 * workers)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile take one thread for products and compiled loops."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


class _Processes:
    def __init__(self, pool: ProcessPoolExecutor, window: int) -> None:
        self._pool, self.window = pool, window

    def read(self, piece: Piece) -> Reading:
        return _Reading(self._pool, _submitted(self._pool, _read, piece))

    def pick(self, piece: Piece, listed: Listed) -> Pending[Picked]:
        return _Pending(_submitted(self._pool, picked, piece, listed))


class _Reading:
    def __init__(
        self, pool: ProcessPoolExecutor, future: Future[tuple[Crystals, list[PackedGraphs]]]
    ) -> None:
        self._pool, self._future = pool, future

    def crystals(self) -> Crystals:
        return _waited(self._future)[0]

    def predict(self, rows: Indices) -> Pending[Predicted]:
        return _Pending(_submitted(self._pool, _predict, _waited(self._future)[1], rows))


class _Pending(Generic[T]):
    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def result(self) -> T:
        return _waited(self._future)


def _submitted(pool: ProcessPoolExecutor, work: Callable[..., T], *arguments: Any) -> Future[T]:
    with _told_of_death():
        return pool.submit(work, *arguments)


def _waited(future: Future[T]) -> T:
    with _told_of_death():
        return future.result()


@contextmanager
def _told_of_death() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise CrystalliteError(
            "a process that screened was killed, perhaps for want of memory: fewer --workers need less; the "
            "same command goes on where it stopped"
        ) from None


_worker: Worker  # of this process


def _begin(question: Question) -> None:
    global _worker
    _worker = Worker(question)


def _read(piece: Piece) -> tuple[Crystals, list[PackedGraphs]]:
    return _worker.read(piece)


def _predict(graphs: list[PackedGraphs], rows: Indices) -> Predicted:
    return _worker.predict(graphs, rows)
