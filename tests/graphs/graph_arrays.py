"""Packed graphs compared array by array."""

from __future__ import annotations

import numpy as np

from crystallite.graphs.packed import PackedGraphs


def assert_same(ours: PackedGraphs, theirs: PackedGraphs) -> None:
    names = [*ours._fields[:-1], *ours.crystals._fields]
    for name, a, b in zip(names, [*ours[:-1], *ours.crystals], [*theirs[:-1], *theirs.crystals], strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert a.dtype == b.dtype, name
