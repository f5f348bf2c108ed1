"""Working arrays used again from step to step: fresh memory costs a page fault for every 4 KiB of it."""

from __future__ import annotations

import os
import threading

import numpy as np
from numpy.typing import NDArray

_KEPT_BYTES = 2**29
_KEPT = 16  # free arrays kept; a step of 8 layers needs no more at once
_SLACK = 1.25  # room to spare, as the next batch may be larger
_free: list[NDArray[np.float32]] = []
_lock = threading.Lock()


def take(rows: int, columns: int) -> NDArray[np.float32]:
    """Return an uninitialised (rows, columns) array; `give` it back when done, or forget it."""
    size = rows * columns
    with _lock:
        for position, array in enumerate(_free):
            if len(array) >= size:
                return _free.pop(position)[:size].reshape(rows, columns)
    return np.empty(int(size * _SLACK), np.float32)[:size].reshape(rows, columns)


def give(array: NDArray[np.float32]) -> None:
    """Let the memory of an array from `take` be used again; it must not be read any more."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    with _lock:
        _free.append(whole)
        _free.sort(key=len)
        del _free[:-_KEPT]
        while sum(array.nbytes for array in _free) > _KEPT_BYTES:
            del _free[0]


def _start_empty() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _free.clear()


os.register_at_fork(after_in_child=_start_empty)
