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

MOST_TOGETHER = 256  # items that are evaluated at once, unless one part alone has more


class _Part(NamedTuple):
    """Items that wait to be evaluated, and whom to tell."""

    key: Hashable
    items: Sequence[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Item, Result]):
    """Evaluates items in batches, on a thread of its own.

    evaluate: from a key and items to one result for each item; items of one key may be evaluated together.
    told: is told the number of items of each batch.
    """

    def __init__(
        self,
        evaluate: Callable[[Any, Sequence[Item]], Sequence[Result]],
        told: Callable[[int], object] = lambda n_items: None,
        most: int = MOST_TOGETHER,
    ) -> None:
        self._evaluate, self._told, self._most = evaluate, told, most
        self._parts: deque[_Part] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="evaluating", daemon=True)
        self._thread.start()

    async def submit(self, key: Hashable, items: Sequence[Item]) -> list[Result]:
        """Return the results of items, when their batch has been evaluated.

        Raises whatever the evaluation of the batch raised, and RuntimeError once `close` was called.
        """
        if not items:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the server is stopping")
            self._parts.append(_Part(key, items, future, loop))
            self._changed.notify()
        return await future

    def close(self) -> None:
        """Evaluate what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while parts := self._next():
            items = [item for part in parts for item in part.items]
            self._told(len(items))
            try:
                results = list(self._evaluate(parts[0].key, items))
            except Exception as error:
                for part in parts:
                    _tell(part, None, error)
                continue
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
        n_items = 0
        for part in self._parts:
            if not taken or (part.key == taken[0].key and n_items + len(part.items) <= self._most):
                taken.append(part)
                n_items += len(part.items)
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
