"""Compiled loops over blocks on several threads, as many as PyTorch uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

_pools: dict[int, ThreadPoolExecutor] = {}


def for_ranges(loop: Callable[..., None], n_items: int, *arguments: Any) -> None:
    """Call `loop(begin, end, *arguments)` for ranges that cover n_items, a thread each.

    The loop must release the GIL and its ranges must not write to the same memory.
    """
    n_threads = max(1, min(torch.get_num_threads(), n_items))
    cuts = [n_items * thread // n_threads for thread in range(n_threads + 1)]
    others = [_pool(n_threads).submit(loop, *cuts[k : k + 2], *arguments) for k in range(1, n_threads)]
    loop(*cuts[:2], *arguments)
    for other in others:
        other.result()


def _pool(n_threads: int) -> ThreadPoolExecutor:
    if n_threads not in _pools:
        _pools[n_threads] = ThreadPoolExecutor(n_threads - 1, "crystallite")
    return _pools[n_threads]


def _stay_alone() -> None:
    """In a forked child: the parent's threads, PyTorch's as well, are not there to wait for."""
    _pools.clear()
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_stay_alone)
