"""The nearest of many points to each of others, by compiled loops over all of them.

Cost: crystals x training crystals x dimensions, some 40 microseconds a crystal for 28,000 of 24 dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..computing.threads import for_ranges

Floats = NDArray[np.float32]
_BLOCK = 1024  # points whose distances are in the fastest cache at once


def nearest(queries: Floats, points: Floats, n_nearest: int) -> tuple[NDArray[np.int64], Floats]:
    """Return (queries, n) the numbers of the nearest points, nearest first, and (queries, n) their distances.

    queries: (queries, dimensions). points: (dimensions, points), at least n_nearest of them. Of points at the
    same distance the first counts as nearer.
    """
    found = np.zeros((len(queries), n_nearest), np.int64)
    squares = np.full((len(queries), n_nearest), np.inf, np.float32)
    for_ranges(_find, len(queries), queries, points, found, squares)
    return found, np.sqrt(squares)


@compiled
def _find(begin: int, end: int, queries: Any, points: Any, found: Any, squares: Any) -> None:
    """Find the nearest points to the queries begin to end; squares: of their distances, infinite at first."""
    block = np.empty(_BLOCK, np.float32)
    for query in range(begin, end):
        for first in range(0, points.shape[1], _BLOCK):
            size = min(_BLOCK, points.shape[1] - first)
            _squares_of_block(queries[query], points, first, block[:size])
            for place in range(size):
                if block[place] < squares[query, -1]:
                    _insert(block[place], first + place, found[query], squares[query])


@compiled
def _squares_of_block(query: Any, points: Any, first: int, block: Any) -> None:
    for place in range(len(block)):
        block[place] = 0
    for dimension in range(len(query)):
        at, row = query[dimension], points[dimension, first : first + len(block)]
        for place in range(len(block)):
            difference = row[place] - at
            block[place] += difference * difference


@compiled
def _insert(square: float, point: int, found: Any, squares: Any) -> None:
    """Put a point into the sorted list, whose last one goes."""
    place = len(squares) - 1
    while place > 0 and squares[place - 1] > square:
        squares[place], found[place] = squares[place - 1], found[place - 1]
        place -= 1
    squares[place], found[place] = square, point
