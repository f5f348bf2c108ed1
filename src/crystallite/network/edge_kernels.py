"""Compiled loops over the edges of the edge-updating convolution in training, on the CPU in float32.

Each takes the first and the last of its blocks of whole crystals, as in `kernels`, and does all that a layer
does with a block's edges between two sums over the batch. Channels C = 2F of z are filter and core.
"""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled
from .kernels import _F0, _F1, _FAST, WINDOW, _exp_negative, most_edges, most_nodes
from .message_kernels import add_node_gradients, block_moments, node_products
from .norm_kernels import norm_gradients_of_rows, row_moments
from .products import add_product, clear_rows, copy_rows


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
def edge_inputs(begin, end, nodes, states, batch, weight, z, means, squares):  # type: ignore[no-untyped-def]
    """z (edges, C) = [v_i, v_j, e_ij] times weight (2F + E, C), with the weighted moments of each block.

    nodes: (nodes, F). states: (edges, E). means, squares: (blocks, C) receive a block's weighted mean and
    weighted sum of squared deviations from it.
    """
    blocks, edge_offsets, _, _, _ = batch
    half, width = nodes.shape[1], z.shape[1]
    products = np.empty((most_nodes(begin, end, blocks), 2 * width), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        node_products(block, nodes, weight, batch, products)
        _add_ends(block, products, batch, z)
        add_product(states[first_edge:last_edge], weight[2 * half :], z[first_edge:last_edge])
        block_moments(block, z, batch, means[block], squares[block])


@compiled(fastmath=_FAST)
def _add_ends(block, products, batch, z):  # type: ignore[no-untyped-def]
    """z = P[source] + Q[neighbour] for the edges of a block; products: (nodes of the block, 2C), P and Q."""
    blocks, edge_offsets, neighbors, _, _ = batch
    width, start = z.shape[1], blocks[block]
    for node in range(start, blocks[block + 1]):
        of_source = products[node - start]
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            row, of_neighbor = z[edge], products[neighbors[edge] - start, width:]
            for c in range(width):
                row[c] = of_source[c] + of_neighbor[c]


@compiled(fastmath=_FAST)
def messages(  # type: ignore[no-untyped-def]
    begin, end, z, scale, shift, batch, states, update, sums, updated, means, squares
):
    """m_ij = sigmoid(y_filter) silu(y_core), y = scale z + shift: sums over the edges, and the next states.

    sums: (nodes, F) receives each node's sum of weight x message; means, squares: (blocks, F) the weighted
    moments of the sums. updated: (edges, E) receives states + message times update (F, E), or has no rows.
    """
    blocks, edge_offsets, _, _, multiplicities = batch
    half = sums.shape[1]
    message = np.empty((most_edges(begin, end, blocks, edge_offsets), half), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        _gate(block, z, scale, shift, batch, message, sums)
        if len(update):
            copy_rows(states[first_edge:last_edge], updated[first_edge:last_edge])
            add_product(message[: last_edge - first_edge], update, updated[first_edge:last_edge])
        row_moments(sums[start:stop], multiplicities[start:stop], means[block], squares[block])


@compiled(fastmath=_FAST)
def _gate(block, z, scale, shift, batch, message, sums):  # type: ignore[no-untyped-def]
    """The messages (edges of the block, F), and their weighted sums (nodes, F)."""
    blocks, edge_offsets, _, weights, _ = batch
    half, first_edge = sums.shape[1], edge_offsets[blocks[block]]
    for node in range(blocks[block], blocks[block + 1]):
        total = sums[node]
        for c in range(half):
            total[c] = _F0
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight, row, out = weights[edge], z[edge], message[edge - first_edge]
            for c in range(half):
                y_filter = scale[c] * row[c] + shift[c]
                y_core = scale[half + c] * row[half + c] + shift[half + c]
                t, u = _exp_negative(-abs(y_filter)), _exp_negative(-abs(y_core))
                gate = (_F1 if y_filter >= _F0 else t) / (_F1 + t)
                out[c] = gate * y_core * (_F1 if y_core >= _F0 else u) / (_F1 + u)
                total[c] += weight * out[c]


@compiled(fastmath=_FAST)
def message_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, norm, batch, sums, of_sums, grad_normalized, grad_updated, update, grad_y,
    of_norm, grad_update,
):  # fmt: skip
    """grad_y (edges, C) of y = gamma z_hat + beta, from the gradients of normalised sums and of states.

    norm: (mean, inverse_std, gamma, beta), (C,) each. of_sums: (mean, inverse_std, gamma, mean_grad,
    mean_product), (F,) each, of the norm of the sums. grad_normalized: (nodes, F). grad_updated: (edges, E),
    or without rows. update: (E, F). of_norm: (blocks, 2, C) receives a block's sums of grad_y and of grad_y x
    z_hat; grad_update: (blocks, E, F).
    """
    blocks, edge_offsets, _, _, multiplicities = batch
    half = sums.shape[1]
    most = most_edges(begin, end, blocks, edge_offsets)
    all_messages, all_gradients = np.empty((most, half), np.float32), np.empty((most, half), np.float32)
    grad_sums = np.empty((most_nodes(begin, end, blocks), half), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        of_edges, gradients = all_messages[: last_edge - first_edge], all_gradients[: last_edge - first_edge]
        mean, inverse_std, gamma, mean_grad, mean_product = of_sums
        norm_gradients_of_rows(
            sums[start:stop], grad_normalized[start:stop], multiplicities[start:stop],
            mean, inverse_std, gamma, mean_grad, mean_product, grad_sums[: stop - start],
        )  # fmt: skip
        clear_rows(gradients)
        if len(update):
            add_product(grad_updated[first_edge:last_edge], update, gradients)
        means, inverse_stds, gammas, betas = norm
        _gate_gradients(
            block, z, means, inverse_stds, gammas, betas, batch, grad_sums, gradients, of_edges, grad_y,
            of_norm[block, 0], of_norm[block, 1],
        )  # fmt: skip
        if len(update):
            clear_rows(grad_update[block])
            add_product(grad_updated[first_edge:last_edge].T, of_edges, grad_update[block])


@compiled(fastmath=_FAST)
def _gate_gradients(  # type: ignore[no-untyped-def]
    block, z, means, inverse_stds, gammas, betas, batch, grad_sums, grad_message, message, grad_y,
    sums, products,
):  # fmt: skip
    """grad_y from grad_sums (nodes of the block, F) and grad_message (edges of the block, F).

    Also the messages again, (edges of the block, F), and its sums of grad_y and of grad_y x z_hat.
    """
    blocks, edge_offsets, _, weights, _ = batch
    half = grad_sums.shape[1]
    start, first_edge = blocks[block], edge_offsets[blocks[block]]
    mean_f, std_f, gamma_f, beta_f = means[:half], inverse_stds[:half], gammas[:half], betas[:half]
    mean_c, std_c, gamma_c, beta_c = means[half:], inverse_stds[half:], gammas[half:], betas[half:]
    sums_f, sums_c, products_f, products_c = sums[:half], sums[half:], products[:half], products[half:]
    for c in range(2 * half):
        sums[c] = products[c] = _F0
    for node in range(start, blocks[block + 1]):
        upstream = grad_sums[node - start]
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight, grad, out = weights[edge], grad_message[edge - first_edge], message[edge - first_edge]
            row_f, row_c, y_f, y_c = z[edge, :half], z[edge, half:], grad_y[edge, :half], grad_y[edge, half:]
            for c in range(half):
                z_filter = (row_f[c] - mean_f[c]) * std_f[c]
                z_core = (row_c[c] - mean_c[c]) * std_c[c]
                y_filter = gamma_f[c] * z_filter + beta_f[c]
                y_core = gamma_c[c] * z_core + beta_c[c]
                t, u = _exp_negative(-abs(y_filter)), _exp_negative(-abs(y_core))
                gate = (_F1 if y_filter >= _F0 else t) / (_F1 + t)
                slope = (_F1 if y_core >= _F0 else u) / (_F1 + u)
                core = y_core * slope
                out[c] = gate * core
                common = (weight * upstream[c] + grad[c]) * gate
                grad_filter = common * (_F1 - gate) * core
                grad_core = common * (slope + core * (_F1 - slope))
                y_f[c] = grad_filter
                y_c[c] = grad_core
                sums_f[c] += grad_filter
                sums_c[c] += grad_core
                products_f[c] += grad_filter * z_filter
                products_c[c] += grad_core * z_core


@compiled(fastmath=_FAST)
def input_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, grad_y, norm, batch, nodes, states, weight, grad_next, grad_updated,
    grad_nodes, grad_states, grad_weight,
):  # fmt: skip
    """Take grad_y, which is overwritten, back through the batch norm and the linear map.

    norm: (mean, inverse_std, gamma, mean_grad, mean_product), (C,) each. weight: (C, 2F + E). grad_next:
    (nodes, F) and grad_updated: (edges, E), or without rows, flow past the layer and are added. grad_nodes:
    (nodes, F), grad_states: (edges, E) and grad_weight: (blocks, C, 2F + E) receive the gradients.
    """
    blocks, edge_offsets, _, _, _ = batch
    half, width = nodes.shape[1], z.shape[1]
    products = np.empty((most_nodes(begin, end, blocks), 2 * width), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        first_edge, last_edge = edge_offsets[start], edge_offsets[stop]
        own, of_weight = products[: stop - start], grad_weight[block]
        mean, inverse_std, gamma, mean_grad, mean_product = norm
        _norm_gradients(block, z, grad_y, mean, inverse_std, gamma, mean_grad, mean_product, batch, own)
        if len(grad_updated):
            copy_rows(grad_updated[first_edge:last_edge], grad_states[first_edge:last_edge])
        else:
            clear_rows(grad_states[first_edge:last_edge])
        add_node_gradients(block, own, nodes, weight, grad_next, batch, grad_nodes, of_weight)
        gradients = grad_y[first_edge:last_edge]
        add_product(gradients, weight[:, 2 * half :], grad_states[first_edge:last_edge])
        add_product(gradients.T, states[first_edge:last_edge], of_weight[:, 2 * half :])


@compiled(fastmath=_FAST)
def _norm_gradients(  # type: ignore[no-untyped-def]
    block, z, grad_y, mean, inverse_std, gamma, mean_grad, mean_product, batch, grad_products
):
    """Take a block of grad_y back through the batch norm, in place, and add it up for the block's nodes.

    grad_products: (nodes of the block, 2C) of P[source] and Q[neighbour], z = P + Q + ...
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width, start = z.shape[1], blocks[block]
    clear_rows(grad_products)
    for node in range(start, blocks[block + 1]):
        source_grad = grad_products[node - start]
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight = weights[edge] * multiplicities[node]
            grad, row, neighbor_grad = grad_y[edge], z[edge], grad_products[neighbors[edge] - start, width:]
            for c in range(width):
                z_hat = (row[c] - mean[c]) * inverse_std[c]
                own = grad[c] - weight * (mean_grad[c] + z_hat * mean_product[c])
                grad[c] = gamma[c] * inverse_std[c] * own
                source_grad[c] += grad[c]
            for c in range(width):
                neighbor_grad[c] += grad[c]
