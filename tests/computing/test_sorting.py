"""Few keys and many come in the order of NumPy's stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from crystallite.computing.sorting import ascending


@pytest.mark.parametrize("n_keys", [0, 1, 2, 47, 48, 49, 300, 5_000])
@pytest.mark.parametrize("highest", [0, 3, 255, 256, 2**40, 2**64 - 1])
def test_like_numpy(n_keys: int, highest: int) -> None:
    keys = np.random.default_rng(n_keys).integers(0, highest, n_keys, np.uint64, endpoint=True)
    order = np.full(n_keys + 7, -1, np.int32)
    padded = np.concatenate([np.full(3, 9, np.uint64), keys, np.full(4, 9, np.uint64)])
    ascending(padded, 3, 3 + n_keys, order, np.empty_like(order))
    np.testing.assert_array_equal(order[3:-4], 3 + np.argsort(keys, kind="stable"))
    assert (order[:3] == -1).all()
    assert (order[-4:] == -1).all()


def test_distances_by_their_bits() -> None:
    distances = np.random.default_rng(0).uniform(0, 8, 1_000).round(2)
    order = np.empty(1_000, np.int32)
    ascending(distances.view(np.uint64), 0, 1_000, order, np.empty_like(order))
    np.testing.assert_array_equal(order, np.argsort(distances, kind="stable"))
