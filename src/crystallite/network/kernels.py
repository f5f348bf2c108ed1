"""Compiled loops of the gated convolution on the CPU: float32, fused, deterministic.

Edges are processed in blocks of whole crystals. A block is the unit of work of a thread and the unit of
summation, so results do not depend on the number of threads, and its arrays stay in the cache. Gaussian
tails below 1e-17 are never formed, so no denormal number slows the arithmetic down.

Each loop takes the first and the last of its blocks (or edges), so that several threads can share them.
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
def edge_inputs(begin, end, node_product, bond_weight, batch, first, values, z, sums, squares):  # type: ignore[no-untyped-def]
    """z = P[source] + Q[neighbour] + U W for every edge, with the weighted mean and spread of each block.

    node_product: (nodes, 2C) holds P and Q side by side, C = z.shape[1]; bond_weight: (centres, C).
    sums, squares: (blocks, C) receive a block's weighted mean and weighted sum of squared deviations.
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width = z.shape[1]
    for block in range(begin, end):
        mean, square = sums[block], squares[block]
        for c in range(width):
            mean[c] = square[c] = _F0
        total = _F0
        for node in range(blocks[block], blocks[block + 1]):
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                row, neighbor = z[edge], neighbors[edge]
                weight = weights[edge] * multiplicities[node]
                total += weight
                center, value = first[edge], values[edge]
                for c in range(width):
                    entry = node_product[node, c] + node_product[neighbor, width + c]
                    for k in range(WINDOW):
                        entry += value[k] * bond_weight[center + k, c]
                    row[c] = entry
                    mean[c] += weight * entry
        inverse = _F1 / total
        for c in range(width):
            mean[c] *= inverse
        for node in range(blocks[block], blocks[block + 1]):
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                weight = weights[edge] * multiplicities[node]
                for c in range(width):
                    deviation = z[edge, c] - mean[c]
                    square[c] += weight * deviation * deviation


@compiled(fastmath=_FAST)
def gated_sums(begin, end, z, scale, shift, batch, out):  # type: ignore[no-untyped-def]
    """out[node] = sum over its edges of weight sigmoid(y_filter) softplus(y_core), y = scale z + shift."""
    blocks, edge_offsets, _, weights, _ = batch
    half = out.shape[1]
    for block in range(begin, end):
        for node in range(blocks[block], blocks[block + 1]):
            total = out[node]
            for c in range(half):
                total[c] = _F0
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                weight, row = weights[edge], z[edge]
                for c in range(half):
                    gate = _sigmoid(scale[c] * row[c] + shift[c])
                    core = _softplus(scale[half + c] * row[half + c] + shift[half + c])
                    total[c] += weight * gate * core


@compiled(fastmath=_FAST)
def gate_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, mean, inverse_std, gamma, beta, batch, grad_out, grad_y, sums, products
):
    """grad_y from grad_out (nodes, C/2); each block's sums of grad_y and of grad_y x z_hat.

    The channels C of all other arrays come as (2, C/2): filter and core.
    """
    blocks, edge_offsets, _, weights, _ = batch
    half = grad_out.shape[1]
    for block in range(begin, end):
        for side in range(2):
            for c in range(half):
                sums[block, side, c] = products[block, side, c] = _F0
        for node in range(blocks[block], blocks[block + 1]):
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                weight = weights[edge]
                for c in range(half):
                    z_filter = (z[edge, 0, c] - mean[0, c]) * inverse_std[0, c]
                    z_core = (z[edge, 1, c] - mean[1, c]) * inverse_std[1, c]
                    y_core = gamma[1, c] * z_core + beta[1, c]
                    gate = _sigmoid(gamma[0, c] * z_filter + beta[0, c])
                    t = _exp_negative(-abs(y_core))
                    core = max(y_core, _F0) + _log1p_unit(t)
                    slope = (_F1 if y_core >= _F0 else t) / (_F1 + t)
                    common = weight * grad_out[node, c] * gate
                    grad_filter = common * (_F1 - gate) * core
                    grad_core = common * slope
                    grad_y[edge, 0, c] = grad_filter
                    grad_y[edge, 1, c] = grad_core
                    sums[block, 0, c] += grad_filter
                    sums[block, 1, c] += grad_core
                    products[block, 0, c] += grad_filter * z_filter
                    products[block, 1, c] += grad_core * z_core


@compiled(fastmath=_FAST)
def edge_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, grad_y, mean, inverse_std, scale, mean_grad, mean_product,
    batch, first, values, grad_nodes, grad_bonds,
):  # fmt: skip
    """Take grad_y back through the batch norm and the linear map.

    mean_grad, mean_product: (C,) sums of grad_y and grad_y x z_hat over the batch, divided by its weight.
    grad_nodes: (nodes, 2C) receives the gradient of node_product; grad_bonds: (blocks, centres, C).
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width = z.shape[1]
    for block in range(begin, end):
        grad_bond = grad_bonds[block]
        for center in range(len(grad_bond)):
            for c in range(width):
                grad_bond[center, c] = _F0
        for node in range(blocks[block], blocks[block + 1]):
            for c in range(2 * width):
                grad_nodes[node, c] = _F0
        for node in range(blocks[block], blocks[block + 1]):
            source_grad = grad_nodes[node]
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                weight = weights[edge] * multiplicities[node]
                grad, row, neighbor_grad = grad_y[edge], z[edge], grad_nodes[neighbors[edge]]
                for c in range(width):
                    z_hat = (row[c] - mean[c]) * inverse_std[c]
                    value = scale[c] * (grad[c] - weight * (mean_grad[c] + z_hat * mean_product[c]))
                    grad[c] = value
                    source_grad[c] += value
                for c in range(width):
                    neighbor_grad[width + c] += grad[c]
                for k in range(WINDOW):
                    value, center = values[edge, k], first[edge] + k
                    for c in range(width):
                        grad_bond[center, c] += value * grad[c]


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
