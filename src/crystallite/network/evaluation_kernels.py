"""Compiled loops of networks in evaluation, on the CPU in float32: all convolutions of a block of crystals.

A trained batch norm is an affine map, so that no layer looks beyond a crystal: a block of whole crystals
passes through all layers while its arrays stay in the cache. Every number is a sum in the order of its own
crystal, and so depends neither on the other crystals nor on blocks and threads; products too (`products`).

Each loop takes the first and the last of its blocks, the vectors of the nodes (nodes, F), which it replaces,
the batch (blocks, edge_offsets, neighbors, distances, weights), the width of the Gaussians in Å and arrays of
weights stacked over the layers L. Channels C = 2F are filter and core.
"""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled
from .kernels import (
    _F0,
    _F1,
    _FAST,
    WINDOW,
    _exp_negative,
    _sigmoid,
    _softplus,
    gaussians,
    most_edges,
    most_nodes,
)
from .products import add_product, clear_rows, set_rows


@compiled(fastmath=_FAST)
def gated_layers(  # type: ignore[no-untyped-def]
    begin, end, nodes, batch, step, node_weights, edge_weights, shifts, node_scales, node_shifts
):
    """v <- softplus(v + scale sum_j w_ij sigmoid(y_filter) softplus(y_core) + shift) in each layer.

    y = W_i v_i + W_j v_j + W_u u_ij + shift. node_weights: (L, F, 2C), W_i beside W_j; edge_weights:
    (L, centres, C); shifts: (L, C); node_scales, node_shifts: (L, F).
    """
    blocks, edge_offsets, neighbors, distances, weights = batch
    n_most, e_most = most_nodes(begin, end, blocks), most_edges(begin, end, blocks, edge_offsets)
    half, n_centers = nodes.shape[1], edge_weights.shape[1]
    products, y = np.empty((n_most, 4 * half), np.float32), np.empty(2 * half, np.float32)
    sums = np.empty(half, np.float32)
    first, values = np.empty(e_most, np.int32), np.empty((e_most, WINDOW), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        _expand(distances[first_edge:last_edge], step, n_centers, first, values)
        for layer in range(len(node_weights)):
            edge_weight = edge_weights[layer]
            _node_products(nodes[start:stop], node_weights[layer], shifts[layer], products)
            for node in range(start, stop):
                for c in range(half):
                    sums[c] = _F0
                for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                    neighbor, at = neighbors[edge] - start, edge - first_edge
                    center, value = first[at], values[at]
                    for c in range(2 * half):
                        entry = products[node - start, c] + products[neighbor, 2 * half + c]
                        for k in range(WINDOW):
                            entry += value[k] * edge_weight[center + k, c]
                        y[c] = entry
                    for c in range(half):
                        sums[c] += weights[edge] * _sigmoid(y[c]) * _softplus(y[half + c])
                for c in range(half):
                    normalized = node_scales[layer, c] * sums[c] + node_shifts[layer, c]
                    nodes[node, c] = _softplus(nodes[node, c] + normalized)


@compiled(fastmath=_FAST)
def plain_layers(  # type: ignore[no-untyped-def]
    begin, end, nodes, batch, step, weights_of_neighbors, weights_of_self, biases
):
    """v <- softplus(W_c sum_j w_ij [v_j, u_ij] + W_s v_i + b) in each layer.

    weights_of_neighbors: (L, F + centres, F); weights_of_self: (L, F, F); biases: (L, F).
    """
    blocks, edge_offsets, neighbors, distances, weights = batch
    n_most, e_most = most_nodes(begin, end, blocks), most_edges(begin, end, blocks, edge_offsets)
    width, length = nodes.shape[1], weights_of_neighbors.shape[1]
    sums, y = np.empty((n_most, length), np.float32), np.empty((n_most, width), np.float32)
    first, values = np.empty(e_most, np.int32), np.empty((e_most, WINDOW), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        _expand(distances[first_edge:last_edge], step, length - width, first, values)
        for layer in range(len(biases)):
            clear_rows(sums)
            for node in range(start, stop):
                row = sums[node - start]
                for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                    weight, at = weights[edge], edge - first_edge
                    for c in range(width):
                        row[c] += weight * nodes[neighbors[edge], c]
                    for k in range(WINDOW):
                        row[width + first[at] + k] += weight * values[at, k]
            set_rows(y, biases[layer])
            add_product(sums[: stop - start], weights_of_neighbors[layer], y[: stop - start])
            add_product(nodes[start:stop], weights_of_self[layer], y[: stop - start])
            for node in range(start, stop):
                for c in range(width):
                    nodes[node, c] = _softplus(y[node - start, c])


@compiled(fastmath=_FAST)
def edge_updating_layers(  # type: ignore[no-untyped-def]
    begin, end, nodes, batch, step, first_weight, node_weights, edge_weights, shifts, updates,
    hidden_weights, hidden_biases, output_weights, output_biases,
):  # fmt: skip
    """v <- v + MLP(sum_j w_ij m_ij) and e <- e + D m_ij in each layer, m_ij = sigmoid(y_filter) silu(y_core).

    y = W_i v_i + W_j v_j + W_e e_ij + shift; states e (E) begin as silu(first_weight u_ij). first_weight:
    (centres, E); node_weights: (L, F, 2C); edge_weights: (L, E, C); shifts: (L, C); updates: (L - 1, F, E).
    hidden_weights, output_weights: (L, F, F), the batch norm of the sums in the former; biases: (L, F).
    """
    blocks, edge_offsets, neighbors, distances, weights = batch
    n_most, e_most = most_nodes(begin, end, blocks), most_edges(begin, end, blocks, edge_offsets)
    half, edge_width = nodes.shape[1], first_weight.shape[1]
    products, sums = np.empty((n_most, 4 * half), np.float32), np.empty((n_most, half), np.float32)
    y, messages = np.empty((e_most, 2 * half), np.float32), np.empty((e_most, half), np.float32)
    hidden, states = np.empty((n_most, half), np.float32), np.empty((e_most, edge_width), np.float32)
    first, values = np.empty(e_most, np.int32), np.empty((e_most, WINDOW), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, n_edges = edge_offsets[start], edge_offsets[stop] - edge_offsets[start]
        n_nodes = stop - start
        _expand(distances[first_edge : first_edge + n_edges], step, len(first_weight), first, values)
        _first_states(n_edges, first, values, first_weight, states)
        for layer in range(len(shifts)):
            _node_products(nodes[start:stop], node_weights[layer], shifts[layer], products)
            for node in range(start, stop):
                for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                    row, source, neighbor = y[edge - first_edge], node - start, neighbors[edge] - start
                    for c in range(2 * half):
                        row[c] = products[source, c] + products[neighbor, 2 * half + c]
            add_product(states[:n_edges], edge_weights[layer], y[:n_edges])
            for node in range(start, stop):
                total = sums[node - start]
                for c in range(half):
                    total[c] = _F0
                for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                    row, message, weight = y[edge - first_edge], messages[edge - first_edge], weights[edge]
                    for c in range(half):
                        message[c] = _sigmoid(row[c]) * _silu(row[half + c])
                        total[c] += weight * message[c]
            if layer < len(updates):
                add_product(messages[:n_edges], updates[layer], states[:n_edges])
            set_rows(hidden, hidden_biases[layer])
            add_product(sums[:n_nodes], hidden_weights[layer], hidden[:n_nodes])
            for node in range(start, stop):
                for c in range(half):
                    hidden[node - start, c] = _silu(hidden[node - start, c])
                    nodes[node, c] += output_biases[layer, c]
            add_product(hidden[:n_nodes], output_weights[layer], nodes[start:stop])


@compiled(fastmath=_FAST)
def _expand(distances, step, n_centers, first, values):  # type: ignore[no-untyped-def]
    """The Gaussians of the edges of a block, as in `kernels.gaussians`."""
    begin = np.int64(0)  # a plain 0 would compile the loop again, for this number
    gaussians(begin, len(distances), distances, step, n_centers, first, values)


@compiled(fastmath=_FAST)
def _node_products(nodes, weight, shift, products):  # type: ignore[no-untyped-def]
    """products (nodes, 2C) = nodes times weight, with the shift (C,) added to the half of the sources."""
    for row in range(len(nodes)):
        for c in range(len(shift)):
            products[row, c], products[row, len(shift) + c] = shift[c], _F0
    add_product(nodes, weight, products[: len(nodes)])


@compiled(fastmath=_FAST)
def _first_states(n_edges, first, values, weight, states):  # type: ignore[no-untyped-def]
    """states (edges, E) = silu(sum over the Gaussians of a bond of value x weight (centres, E))."""
    for edge in range(n_edges):
        value, center = values[edge], first[edge]
        for c in range(weight.shape[1]):
            entry = _F0
            for k in range(WINDOW):
                entry += value[k] * weight[center + k, c]
            states[edge, c] = _silu(entry)


@compiled(inline="always", fastmath=_FAST)
def _silu(x):  # type: ignore[no-untyped-def]
    t = _exp_negative(-abs(x))
    return x * (_F1 if x >= _F0 else t) / (_F1 + t)
