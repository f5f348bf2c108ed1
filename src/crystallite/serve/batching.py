"""Crystals of requests that arrive together are evaluated together: a batch costs little more than one.

One thread evaluates; requests wait for it without keeping others from being read. A request with many
crystals comes in parts, and parts of different requests take turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoppingError(Exception):
    """Nothing more is evaluated."""


class _Part(NamedTuple):
    """Items that wait to be evaluated, and whom to tell."""

    key: Hashable
    items: Sequence[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Item, Result]):
    """Evaluates items in batches, on a thread of its own.

    evaluate: from a key and items to one result for each item; items of one key may be evaluated together.
    told: is told the number of items of each batch. weigh: how much of a batch an item is; most: of a batch,
    unless one part alone has more.
    """

    def __init__(
        self,
        evaluate: Callable[[Any, Sequence[Item]], Sequence[Result]],
        told: Callable[[int], object] = lambda n_items: None,
        weigh: Callable[[Item], int] = lambda item: 1,
        most: int = 256,
    ) -> None:
        self._evaluate, self._told, self._weigh, self._most = evaluate, told, weigh, most
        self._parts: deque[_Part] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="evaluating", daemon=True)
        self._thread.start()

    async def submit(self, key: Hashable, items: Sequence[Item]) -> list[Result]:
        """Return the results of items, when their batch has been evaluated.

        Raises whatever their evaluation raised, and StoppingError once `close` was called.
        """
        if not items:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()
        with self._changed:
            if self._closed:
                raise StoppingError("the server is stopping")
            self._parts.append(_Part(key, items, future, loop))
            self._changed.notify()
        return await future

    def close(self, seconds: float | None = None) -> None:
        """Evaluate what waits, then end; wait for that for so many seconds at most."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while parts := self._next():
            self._answer(parts)

    def _answer(self, parts: Sequence[_Part]) -> None:
        """Evaluate parts together; if that fails each alone, so that the one that is wrong fails alone."""
        items = [item for part in parts for item in part.items]
        self._told(len(items))
        try:
            results = list(self._evaluate(parts[0].key, items))
        except Exception as error:
            if len(parts) == 1:
                _tell(parts[0], None, error)
            else:
                for part in parts:
                    self._answer([part])
            return
        for part in parts:
            _tell(part, results[: len(part.items)], None)
            del results[: len(part.items)]

    def _next(self) -> list[_Part]:
        """Return the parts of the next batch: all that wait with the key of the first; none at the end."""
        with self._changed:
            while True:
                self._parts = deque(part for part in self._parts if not part.future.cancelled())
                if self._parts or self._closed:
                    return self._taken()
                self._changed.wait()

    def _taken(self) -> list[_Part]:
        """Take the parts of one batch from those that wait."""
        taken: list[_Part] = []
        left: deque[_Part] = deque()
        total = 0
        for part in self._parts:
            size = sum(map(self._weigh, part.items))
            if not taken or (part.key == taken[0].key and total + size <= self._most):
                taken.append(part)
                total += size
            else:
                left.append(part)
        self._parts = left
        return taken


def _tell(part: _Part, results: list[Any] | None, error: Exception | None) -> None:
    def tell() -> None:
        if part.future.done():
            return
        if error is not None:
            part.future.set_exception(error)
        else:
            part.future.set_result(results)

    with suppress(RuntimeError):  # its loop has ended, and nobody waits
        part.loop.call_soon_threadsafe(tell)
