"""Screening on a Ray cluster: reading and predicting are tasks that Ray places on its nodes.

Ray's data pipelines are not used, as the first crystal of each material is told in the order of the input;
its tasks bring what is needed: they are placed where there is room, an autoscaling cluster grows with those
that wait, and where a node dies, its tasks and what it had made for others are done again elsewhere. Each of
Ray's processes loads the models once. Graphs go from one to another past this process, which gets ids and
keys alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..computing.processes import Pending
from ..errors import CrystalliteError, StorageError, first_line
from ..extras import needed
from ..graphs.packed import Indices, PackedGraphs
from ..sources.pieces import Piece
from .engine import Engine, Reading
from .work import Crystals, Listed, Picked, Predicted, Question, Worker, picked

PATIENCE = 10.0  # seconds
LEAST = 16  # pieces under way
RETRIES = 10  # of a task whose process or node dies; more often it is the task's own fault
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a task has one core


@contextmanager
def ray_cluster(question: Question, address: str) -> Iterator[Engine]:
    """Yield an engine of the cores of a Ray cluster.

    Args:
        question: what is asked of every crystal; files of models lie at the same place on all nodes.
        address: of the cluster's head, host:port, or `auto` on one of its nodes.

    Raises:
        CrystalliteError: if Ray is not installed or there is no cluster.
    """
    ray = needed("ray", "--ray", "crystallite[ray]")
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": _ONE_THREAD})
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise CrystalliteError(
            f"--ray {address}: no cluster answers ({first_line(error)}); ray start --head begins one"
        ) from None
    try:
        yield _Cluster(ray, question)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError unless something listens at host:port: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "//" not in address:
        socket.create_connection((host, int(port)), PATIENCE).close()


class _Cluster:
    def __init__(self, ray: Any, question: Question) -> None:
        self.ray, self._asked = ray, _Asked(question, str(Path.cwd()))
        self._read = ray.remote(num_cpus=1, max_retries=RETRIES, num_returns=2)(_read)
        self._predict = ray.remote(num_cpus=1, max_retries=RETRIES)(_predict)
        self._pick = ray.remote(num_cpus=1, max_retries=RETRIES)(_pick)

    @property
    def window(self) -> int:
        """Two pieces for each core that there is now, or more, so that a small cluster sees why to grow."""
        return max(LEAST, 2 * int(self.ray.cluster_resources().get("CPU", 1)))

    def read(self, piece: Piece) -> Reading:
        return _Reading(self, self._read.remote(self._asked, piece))

    def pick(self, piece: Piece, listed: Listed) -> Pending[Picked]:
        return _Pending(self, self._pick.remote(self._asked, piece, listed))

    def predict(self, graphs: Any, rows: Indices) -> Pending[Predicted]:
        """Let some of the crystals of graphs that are somewhere in the cluster be predicted."""
        return _Pending(self, self._predict.remote(self._asked, graphs, rows))

    def get(self, reference: Any) -> Any:
        """Wait for what a task returns."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)  # what a task raised
            if isinstance(cause, CrystalliteError):
                raise cause from None
            reason = first_line(cause) if isinstance(cause, Exception) else first_line(error)
            raise StorageError(f"Ray: {reason}") from error


class _Reading:
    def __init__(self, cluster: _Cluster, references: list[Any]) -> None:
        self._cluster = cluster
        self._crystals, self._graphs = references

    def crystals(self) -> Crystals:
        found: Crystals = self._cluster.get(self._crystals)
        return found

    def predict(self, rows: Indices) -> Pending[Predicted]:
        return self._cluster.predict(self._graphs, rows)


class _Pending:
    def __init__(self, cluster: _Cluster, reference: Any) -> None:
        self._cluster, self._reference = cluster, reference

    def result(self) -> Any:
        return self._cluster.get(self._reference)


class _Asked(NamedTuple):
    """What is asked, and the folder it is asked in: names of models and inputs may begin there."""

    question: Question
    folder: str


@cache
def _worker(asked: _Asked) -> Worker:
    """Return the worker of this process."""
    _go_to(asked.folder)
    return Worker(asked.question)


def _go_to(folder: str) -> None:
    with suppress(OSError):  # not there: nothing that is there can be meant
        os.chdir(folder)


def _read(asked: _Asked, piece: Piece) -> tuple[Crystals, list[PackedGraphs]]:
    return _worker(asked).read(piece)


def _predict(asked: _Asked, graphs: list[PackedGraphs], rows: Indices) -> Predicted:
    return _worker(asked).predict(graphs, rows)


def _pick(asked: _Asked, piece: Piece, listed: Listed) -> Picked:
    _go_to(asked.folder)
    return picked(piece, listed)
