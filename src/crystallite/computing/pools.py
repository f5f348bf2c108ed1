"""Results of a pool in order, with few of them in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], n_ahead: int
) -> Iterator[Result]:
    """Yield function(item) for each item, in order, as pool.map does, at most `n_ahead` of them at work.

    pool.map takes all items at once and keeps all results that nobody has asked for yet.
    """
    items = iter(items)
    at_work = deque(pool.submit(function, item) for item in islice(items, n_ahead))
    while at_work:
        result = at_work.popleft().result()
        at_work.extend(pool.submit(function, item) for item in islice(items, 1))
        yield result
