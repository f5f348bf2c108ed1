"""Compiled loops over blocks on several threads, as many as PyTorch is set to use, or would be.

PyTorch's own threads wait for work by spinning, on the very cores that the loops need, and the network's
small products gain nothing from several threads. So `own_threads` keeps PyTorch to one meanwhile. A training
step on two threads is 1.2 times as fast for it on idle cores, several times on busy ones, and its numbers do
not depend on the number of threads.

Loops that need no PyTorch do not import it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias

Ends: TypeAlias = "SimpleQueue[BaseException | None]"
Ranges: TypeAlias = "SimpleQueue[tuple[Ends, bool, Callable[[], None]]]"
_queues: dict[bool, Ranges] = {}  # of threads that know of PyTorch, and of those that do not
_started: dict[bool, int] = {}  # how many threads wait there
_lock = threading.Lock()
_users = 0  # how many threads are inside `own_threads`
_n_threads = 1  # PyTorch's number of threads outside


class _Inside(threading.local):
    """Whether this thread is inside `own_threads`: PyTorch counts its threads for each that calls it.

    works: whether it does ranges for others, and must not wait for others itself.
    """

    now = False
    works = False


_inside = _Inside()


def number_of_threads() -> int:
    """How many threads the loops use: as PyTorch is set, else OMP_NUM_THREADS, else one for each core."""
    if _inside.works:
        return 1
    if _inside.now:
        return _n_threads
    if torch := _loaded_torch():
        return int(torch.get_num_threads())
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if chosen.isdecimal() and int(chosen):
        return int(chosen)
    return usable_cores()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def own_threads() -> Iterator[None]:
    """Give the threads of PyTorch to `for_ranges` while inside; also a decorator.

    Numbers keep their precision inside, whatever `torch.autocast` says outside.
    """
    import torch

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


def for_ranges(loop: Callable[..., None], n_items: int, *arguments: Any, least: int = 1) -> None:
    """Call `loop(begin, end, *arguments)` for ranges that cover n_items, a thread each.

    The loop must release the GIL and its ranges must not write to the same memory. least: items in a range;
    another thread takes some 0.1 ms to wake, in which this one would have done them.
    """
    n_threads = max(1, min(number_of_threads(), n_items // least))
    if n_threads == 1:
        loop(0, n_items, *arguments)
        return
    cuts = [n_items * thread // n_threads for thread in range(n_threads + 1)]
    torch = _loaded_torch()
    inference = bool(torch and torch.is_inference_mode_enabled())  # the others must write to its tensors
    ended: Ends = SimpleQueue()
    waiting = _waiting(n_threads - 1)
    for k in range(1, n_threads):
        waiting.put((ended, inference, partial(loop, *cuts[k : k + 2], *arguments)))
    try:
        loop(*cuts[:2], *arguments)
    finally:  # where it fails, the others still write to the arrays
        errors = [error for _ in range(1, n_threads) if (error := ended.get())]
    if errors:
        raise errors[0]


def _loaded_torch() -> Any:
    """Return PyTorch, or None where nothing has imported it, or not yet to its end."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "is_inference_mode_enabled") else None


def _waiting(n_threads: int) -> Ranges:
    """Return where at least n_threads threads wait for ranges; a product by PyTorch takes one thread in them.

    An executor would do, but its locks make a training step on two threads 5 % longer.
    """
    torch = _loaded_torch()
    key = torch is not None
    with _lock:
        waiting = _queues.setdefault(key, SimpleQueue())
        while _started.get(key, 0) < n_threads:
            threading.Thread(target=_work, args=(waiting, torch), daemon=True).start()
            _started[key] = _started.get(key, 0) + 1
    return waiting


def _work(waiting: Ranges, torch: Any) -> None:
    """Do ranges, one after the other, and tell how each ended."""
    _inside.works = True
    if torch:
        torch.set_num_threads(1)
    while True:
        ended, inference, do = waiting.get()
        error = None
        try:
            with torch.inference_mode() if inference else nullcontext():
                do()
        except BaseException as raised:
            error = raised
        del do  # and the arrays with it
        ended.put(error)
        del ended, error


def _stay_alone() -> None:
    """In a forked child: the parent's threads, PyTorch's as well, are not there to wait for."""
    global _lock, _users, _n_threads
    _queues.clear()
    _started.clear()
    _lock, _users, _n_threads = threading.Lock(), 0, 1
    if torch := _loaded_torch():
        torch.set_num_threads(1)


os.register_at_fork(after_in_child=_stay_alone)
