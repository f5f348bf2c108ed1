"""Compiled loops over blocks on several threads, as many as PyTorch is set to use.

PyTorch's own threads wait for work by spinning, on the very cores that the loops need, and the network's
small products gain nothing from several threads. So `own_threads` keeps PyTorch to one meanwhile. A training
step on two threads is 1.2 times as fast for it on idle cores, several times on busy ones, and its numbers do
not depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
_users = 0  # how many threads are inside `own_threads`
_n_threads = 1  # PyTorch's number of threads outside


class _Inside(threading.local):
    """Whether this thread is inside `own_threads`: PyTorch counts its threads for each that calls it."""

    now = False


_inside = _Inside()


@contextmanager
def own_threads() -> Iterator[None]:
    """Give the threads of PyTorch to `for_ranges` while inside; also a decorator.

    Numbers keep their precision inside, whatever `torch.autocast` says outside.
    """
    global _users, _n_threads
    if _inside.now:
        yield
        return
    with _lock:
        if not _users:
            _n_threads = torch.get_num_threads()
        _users += 1
    _inside.now = True
    torch.set_num_threads(1)
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_num_threads(_n_threads)
        _inside.now = False
        with _lock:
            _users -= 1


def for_ranges(loop: Callable[..., None], n_items: int, *arguments: Any) -> None:
    """Call `loop(begin, end, *arguments)` for ranges that cover n_items, a thread each.

    The loop must release the GIL and its ranges must not write to the same memory.
    """
    n_threads = max(1, min(_n_threads if _inside.now else torch.get_num_threads(), n_items))
    cuts = [n_items * thread // n_threads for thread in range(n_threads + 1)]
    inference = torch.is_inference_mode_enabled()  # of this thread: the others must write to its tensors
    others = [
        _pool(n_threads).submit(_run, inference, loop, *cuts[k : k + 2], *arguments)
        for k in range(1, n_threads)
    ]
    loop(*cuts[:2], *arguments)
    for other in others:
        other.result()


def _run(inference: bool, loop: Callable[..., None], *arguments: Any) -> None:
    with torch.inference_mode(inference):
        loop(*arguments)


def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Return threads in which a product by PyTorch takes one thread, not one for each core."""
    if n_threads not in _pools:
        _pools[n_threads] = ThreadPoolExecutor(
            n_threads - 1, "crystallite", initializer=torch.set_num_threads, initargs=(1,)
        )
    return _pools[n_threads]


def _stay_alone() -> None:
    """In a forked child: the parent's threads, PyTorch's as well, are not there to wait for."""
    global _lock, _users, _n_threads
    _pools.clear()
    _lock, _users, _n_threads = threading.Lock(), 0, 1
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_stay_alone)
