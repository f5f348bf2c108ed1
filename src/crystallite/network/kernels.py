"""What the compiled loops of training on the CPU are made of: float32, fused, deterministic.

Edges are processed in blocks of whole crystals. A block is the unit of work of a thread and the unit of
summation, so results do not depend on the number of threads, and its arrays stay in the cache. Gaussian
tails below 1e-17 are never formed, so no denormal number slows the arithmetic down.

Each loop takes the first and the last of its blocks (or edges), so that several threads can share them. Those
of layers are in `gated_kernels`, `edge_kernels` and `node_kernels`.
"""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled

WINDOW = 13  # Gaussians of a bond that are not zero to float32: centres within 6.25 steps of its length
_HALF_WINDOW = np.float32(6.25)  # exp(-6.25²) = 1e-17

_FAST = {"contract", "nsz", "arcp"}  # fused multiply-add and friends, but no reordering of sums
_F0, _F1, _F2, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.0)  # exp of less is denormal
# Taylor coefficients of exp on |x| <= ln(2) / 2: the first neglected term is 1.2e-7 of the smallest result
_E7, _E6, _E5 = np.float32(1 / 5040), np.float32(1 / 720), np.float32(1 / 120)
_E4, _E3 = np.float32(1 / 24), np.float32(1 / 6)
# log(1 + t) = 2 atanh(t / (2 + t)), odd powers up to 13: relative error below 2e-8 for 0 <= t <= 1
_A3, _A5, _A7 = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7)
_A9, _A11, _A13 = np.float32(1 / 9), np.float32(1 / 11), np.float32(1 / 13)


@compiled(inline="always", fastmath=_FAST)
def _exp_negative(x):  # type: ignore[no-untyped-def]
    """exp(x) for x <= 0 in float32, in a form that vectorises."""
    x = max(x, _LOWEST)
    power = np.int32(x * _LOG2_E - _HALF)
    n = np.float32(power)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _HALF
    series = (series * r + _F1) * r + _F1
    return series * np.int32((power + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled(inline="always", fastmath=_FAST)
def _log1p_unit(t):  # type: ignore[no-untyped-def]
    """log(1 + t) for 0 <= t <= 1 in float32."""
    s = t / (_F2 + t)
    q = s * s
    series = ((((_A13 * q + _A11) * q + _A9) * q + _A7) * q + _A5) * q + _A3
    return _F2 * s * (series * q + _F1)


@compiled(inline="always", fastmath=_FAST)
def _sigmoid(x):  # type: ignore[no-untyped-def]
    t = _exp_negative(-abs(x))
    return (_F1 if x >= _F0 else t) / (_F1 + t)


@compiled(inline="always", fastmath=_FAST)
def _softplus(x):  # type: ignore[no-untyped-def]
    return max(x, _F0) + _log1p_unit(_exp_negative(-abs(x)))


@compiled(fastmath=_FAST)
def gaussians(begin, end, distances, step, n_centers, first, values):  # type: ignore[no-untyped-def]
    """Fill `first` (edges,) with a bond's first centre and `values` (edges, WINDOW) with its Gaussians."""
    inverse = _F1 / step
    for edge in range(begin, end):
        position = distances[edge] * inverse
        start = np.int32(np.ceil(position - _HALF_WINDOW))
        start = min(max(start, np.int32(0)), np.int32(n_centers - WINDOW))
        first[edge] = start
        for k in range(WINDOW):
            x = position - np.float32(start + np.int32(k))
            square = x * x
            values[edge, k] = _exp_negative(-square) if square < np.float32(39.1) else _F0


@compiled(fastmath=_FAST)
def most_nodes(begin, end, blocks):  # type: ignore[no-untyped-def]
    """Nodes of the largest of some blocks."""
    most = 0
    for block in range(begin, end):
        most = max(most, blocks[block + 1] - blocks[block])
    return most


@compiled(fastmath=_FAST)
def most_edges(begin, end, blocks, edge_offsets):  # type: ignore[no-untyped-def]
    """Edges of the largest of some blocks."""
    most = 0
    for block in range(begin, end):
        most = max(most, edge_offsets[blocks[block + 1]] - edge_offsets[blocks[block]])
    return most
