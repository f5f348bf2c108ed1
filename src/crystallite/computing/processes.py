"""Pools of worker processes that end with whoever started them."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Made = TypeVar("Made", covariant=True)


@contextmanager
def worker_processes(
    workers: int, prepare: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, started anew: forking one that runs the threads of torch or Arrow can hang.

    prepare: called with the arguments in each worker before it works. Where the block is left by an error,
    work that has not begun is not done.
    """
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(prepare, arguments)
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the worker
    _end_with_parent()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    """End when the process that started this one does, however that is.

    A worker waits for work at a pipe that all workers hold open, so that it would not notice by itself.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Pending(Protocol[Made]):
    """Something that is being made elsewhere, as a Future is."""

    def result(self) -> Made:
        """Wait for it."""


def map_ahead(
    submit: Callable[[Item], Pending[Result]], items: Iterable[Item], n_ahead: int
) -> Iterator[Result]:
    """Yield what is made of each item, in order, as a pool's map does, at most `n_ahead` of them at work.

    submit: has it made elsewhere. A pool's map takes all items at once and keeps all results that nobody has
    asked for yet.
    """
    items = iter(items)
    at_work = deque(map(submit, islice(items, n_ahead)))
    while at_work:
        result = at_work.popleft().result()
        at_work.extend(map(submit, islice(items, 1)))
        yield result
