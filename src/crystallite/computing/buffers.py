"""Working arrays used again from step to step: fresh memory costs a page fault for every 4 KiB of it."""

from __future__ import annotations

import math
import os
import threading

import numpy as np
import torch
from numpy.typing import NDArray

_KEPT_BYTES = 2**29
_KEPT = 16  # free arrays kept; a step of 8 layers needs no more at once
_SLACK = 1.25  # room to spare, as the next batch may be larger
_free: list[NDArray[np.float32]] = []
_lock = threading.Lock()


def take(*shape: int) -> NDArray[np.float32]:
    """Return an uninitialised array of a shape; `give` it back when done, or forget it."""
    size = math.prod(shape)
    with _lock:
        for position, array in enumerate(_free):
            if len(array) >= size:
                return _free.pop(position)[:size].reshape(shape)
    fresh = torch.empty(int(size * _SLACK), dtype=torch.float32, device="cpu")
    return fresh.numpy()[:size].reshape(shape)  # aligned to a cache line, unlike NumPy's own


def give(*arrays: NDArray[np.float32]) -> None:
    """Let the memory of arrays from `take` be used again; they must not be read any more."""
    with _lock:
        _free.extend(_whole(array) for array in arrays)
        _free.sort(key=len)
        del _free[:-_KEPT]
        while sum(array.nbytes for array in _free) > _KEPT_BYTES:
            del _free[0]


def _whole(array: NDArray[np.float32]) -> NDArray[np.float32]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _start_empty() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _free.clear()


os.register_at_fork(after_in_child=_start_empty)
