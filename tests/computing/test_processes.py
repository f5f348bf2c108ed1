"""Results of a pool come in order, and only so many are computed ahead of whoever takes them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from crystallite.computing.processes import map_ahead


def test_in_order_and_not_far_ahead():
    started: list[int] = []
    lock = threading.Lock()

    def square(number: int) -> int:
        with lock:
            started.append(number)
        time.sleep(0.002 * (number % 3))
        return number**2

    with ThreadPoolExecutor(3) as pool:
        for taken, result in enumerate(map_ahead(partial(pool.submit, square), iter(range(20)), 4), start=1):
            assert result == (taken - 1) ** 2
            assert len(started) <= taken + 4
    assert sorted(started) == list(range(20))


def test_an_error_comes_in_its_turn():
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(partial(pool.submit, lambda number: 12 // number), [3, 2, 0, 1], 4)
        assert [next(results), next(results)] == [4, 6]
        with pytest.raises(ZeroDivisionError):
            next(results)
