"""Compiled loops of the edge-updating convolution on the CPU, over blocks as in `kernels`.

The products with the states of edges are left to the linear algebra library that comes with PyTorch: these
loops do what lies between them. Channels C of z come in halves (filter, core), F = C / 2.
"""

from __future__ import annotations

from ..computing.compiled import compiled
from .kernels import _F0, _F1, _FAST, WINDOW, _exp_negative


@compiled(fastmath=_FAST)
def first_states(begin, end, batch, first, values, weight, states):  # type: ignore[no-untyped-def]
    """states (edges, E) = sum over the Gaussians of a bond of value x weight (centres, E)."""
    blocks, edge_offsets, _, _, _ = batch
    for edge in range(edge_offsets[blocks[begin]], edge_offsets[blocks[end]]):
        row, value, center = states[edge], values[edge], first[edge]
        for c in range(states.shape[1]):
            entry = _F0
            for k in range(WINDOW):
                entry += value[k] * weight[center + k, c]
            row[c] = entry


@compiled(fastmath=_FAST)
def first_state_gradients(begin, end, batch, first, values, grad_states, grad_weight):  # type: ignore[no-untyped-def]
    """grad_weight (blocks, centres, E): each block's gradient of the weight of `first_states`."""
    blocks, edge_offsets, _, _, _ = batch
    width = grad_states.shape[1]
    for block in range(begin, end):
        grad_bond = grad_weight[block]
        for center in range(len(grad_bond)):
            for c in range(width):
                grad_bond[center, c] = _F0
        for edge in range(edge_offsets[blocks[block]], edge_offsets[blocks[block + 1]]):
            grad = grad_states[edge]
            for k in range(WINDOW):
                value, row = values[edge, k], grad_bond[first[edge] + k]
                for c in range(width):
                    row[c] += value * grad[c]


@compiled(fastmath=_FAST)
def add_nodes(block, node_product, batch, z, mean, square):  # type: ignore[no-untyped-def]
    """Add P[source] + Q[neighbour] to the rows of a block of z; the block's weighted mean and spread.

    node_product: (nodes, 2C) holds P and Q side by side. z: (edges, C) holds the product of the edge states.
    mean, square: (C,) receive the weighted mean and the weighted sum of squared deviations from it.
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width = z.shape[1]
    for c in range(width):
        mean[c] = square[c] = _F0
    total = _F0
    for node in range(blocks[block], blocks[block + 1]):
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            row, neighbor = z[edge], neighbors[edge]
            weight = weights[edge] * multiplicities[node]
            total += weight
            for c in range(width):
                row[c] += node_product[node, c] + node_product[neighbor, width + c]
                mean[c] += weight * row[c]
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
def messages(block, z, scale, shift, batch, message, sums):  # type: ignore[no-untyped-def]
    """message = sigmoid(y_filter) silu(y_core), y = scale z + shift, for the edges of a block.

    message: (edges of the block, F). sums: (nodes, F) receives each node's sum of weight x message.
    """
    blocks, edge_offsets, _, weights, _ = batch
    half = sums.shape[1]
    start = edge_offsets[blocks[block]]
    for node in range(blocks[block], blocks[block + 1]):
        total = sums[node]
        for c in range(half):
            total[c] = _F0
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight, row, out = weights[edge], z[edge], message[edge - start]
            for c in range(half):
                y_filter = scale[c] * row[c] + shift[c]
                y_core = scale[half + c] * row[half + c] + shift[half + c]
                t, u = _exp_negative(-abs(y_filter)), _exp_negative(-abs(y_core))
                gate = (_F1 if y_filter >= _F0 else t) / (_F1 + t)
                out[c] = gate * y_core * (_F1 if y_core >= _F0 else u) / (_F1 + u)
                total[c] += weight * out[c]


@compiled(fastmath=_FAST)
def message_gradients(  # type: ignore[no-untyped-def]
    block, z, mean, inverse_std, gamma, beta, batch, grad_sums, grad_message, message, grad_y, sums, products
):
    """grad_y from grad_sums (nodes, F) and grad_message (edges of the block, F), for a block.

    Also the messages again, (edges of the block, F), and the block's sums of grad_y and of grad_y x z_hat.
    The channels C of all other arrays come as (2, F): filter and core.
    """
    blocks, edge_offsets, _, weights, _ = batch
    half = grad_sums.shape[1]
    start = edge_offsets[blocks[block]]
    for side in range(2):
        for c in range(half):
            sums[side, c] = products[side, c] = _F0
    for node in range(blocks[block], blocks[block + 1]):
        upstream = grad_sums[node]
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight, grad, out = weights[edge], grad_message[edge - start], message[edge - start]
            for c in range(half):
                z_filter = (z[edge, 0, c] - mean[0, c]) * inverse_std[0, c]
                z_core = (z[edge, 1, c] - mean[1, c]) * inverse_std[1, c]
                y_filter = gamma[0, c] * z_filter + beta[0, c]
                y_core = gamma[1, c] * z_core + beta[1, c]
                t, u = _exp_negative(-abs(y_filter)), _exp_negative(-abs(y_core))
                gate = (_F1 if y_filter >= _F0 else t) / (_F1 + t)
                slope = (_F1 if y_core >= _F0 else u) / (_F1 + u)
                core = y_core * slope
                out[c] = gate * core
                common = (weight * upstream[c] + grad[c]) * gate
                grad_filter = common * (_F1 - gate) * core
                grad_core = common * (slope + core * (_F1 - slope))
                grad_y[edge, 0, c] = grad_filter
                grad_y[edge, 1, c] = grad_core
                sums[0, c] += grad_filter
                sums[1, c] += grad_core
                products[0, c] += grad_filter * z_filter
                products[1, c] += grad_core * z_core


@compiled(fastmath=_FAST)
def norm_gradients(  # type: ignore[no-untyped-def]
    block, z, grad_y, mean, inverse_std, scale, mean_grad, mean_product, batch, grad_nodes
):
    """Take a block of grad_y back through the batch norm, in place, and add it up for the nodes.

    mean_grad, mean_product: (C,) sums of grad_y and grad_y x z_hat over the batch, divided by its weight.
    grad_nodes: (nodes, 2C) receives the gradient of node_product.
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width = z.shape[1]
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
