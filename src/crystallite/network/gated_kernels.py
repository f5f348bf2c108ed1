"""Compiled loops of the gated convolution in training, on the CPU in float32.

Each takes the first and the last of its blocks of whole crystals, as in `kernels`, and does all that a layer
does with a block between two sums over the batch. Channels C = 2F of z are filter and core.
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
    _log1p_unit,
    _sigmoid,
    _softplus,
    most_nodes,
)
from .message_kernels import add_node_gradients, block_moments, node_products
from .norm_kernels import norm_gradients_of_rows, norm_sums, row_moments
from .products import clear_rows


@compiled(fastmath=_FAST)
def edge_inputs(begin, end, nodes, batch, first, values, weight, z, means, squares):  # type: ignore[no-untyped-def]
    """z (edges, C) = [v_i, v_j, u_ij] times weight (2F + centres, C), with the moments of each block.

    nodes: (nodes, F). u_ij: a bond's Gaussians, `values` (edges, WINDOW) from centre `first` (edges,) on.
    means, squares: (blocks, C) receive a block's weighted mean and weighted sum of squared deviations.
    """
    blocks, edge_offsets, neighbors, _, _ = batch
    half, width = nodes.shape[1], z.shape[1]
    of_bonds = weight[2 * half :]
    products = np.empty((most_nodes(begin, end, blocks), 2 * width), np.float32)
    for block in range(begin, end):
        start = blocks[block]
        node_products(block, nodes, weight, batch, products)
        for node in range(start, blocks[block + 1]):
            of_source = products[node - start]
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                row, of_neighbor = z[edge], products[neighbors[edge] - start, width:]
                center, value = first[edge], values[edge]
                for c in range(width):
                    entry = of_source[c] + of_neighbor[c]
                    for k in range(WINDOW):
                        entry += value[k] * of_bonds[center + k, c]
                    row[c] = entry
        block_moments(block, z, batch, means[block], squares[block])


@compiled(fastmath=_FAST)
def messages(begin, end, z, scale, shift, batch, sums, means, squares):  # type: ignore[no-untyped-def]
    """sums (nodes, F) = sums over edges of weight sigmoid(y_filter) softplus(y_core), y = scale z + shift.

    means, squares: (blocks, F) receive the weighted moments of the sums.
    """
    blocks, edge_offsets, _, weights, multiplicities = batch
    half = sums.shape[1]
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        for node in range(start, stop):
            total = sums[node]
            for c in range(half):
                total[c] = _F0
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                weight, row = weights[edge], z[edge]
                for c in range(half):
                    gate = _sigmoid(scale[c] * row[c] + shift[c])
                    core = _softplus(scale[half + c] * row[half + c] + shift[half + c])
                    total[c] += weight * gate * core
        row_moments(sums[start:stop], multiplicities[start:stop], means[block], squares[block])


@compiled(fastmath=_FAST)
def update_nodes(begin, end, blocks, nodes, sums, norm, updated):  # type: ignore[no-untyped-def]
    """updated = softplus(nodes + normalised sums), (nodes, F) each.

    norm: (mean, inverse_std, gamma, beta), (F,) each.
    """
    mean, inverse_std, gamma, beta = norm
    for node in range(blocks[begin], blocks[end]):
        for c in range(nodes.shape[1]):
            normalized = gamma[c] * ((sums[node, c] - mean[c]) * inverse_std[c]) + beta[c]
            updated[node, c] = _softplus(nodes[node, c] + normalized)


@compiled(fastmath=_FAST)
def node_gradients(  # type: ignore[no-untyped-def]
    begin, end, blocks, grad_updated, nodes, sums, norm, grad_normalized, of_norm
):
    """grad_normalized (nodes, F), that of nodes and of normalised sums, from grad_updated (nodes, F).

    norm: (mean, inverse_std, gamma, beta), (F,) each. of_norm: (blocks, 2, F) receives a block's sums of
    grad_normalized and of its product with (sums - mean) inverse_std.
    """
    mean, inverse_std, gamma, beta = norm
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        for node in range(start, stop):
            for c in range(nodes.shape[1]):
                normalized = gamma[c] * ((sums[node, c] - mean[c]) * inverse_std[c]) + beta[c]
                grad_normalized[node, c] = _sigmoid(nodes[node, c] + normalized) * grad_updated[node, c]
        own = grad_normalized[start:stop]
        norm_sums(sums[start:stop], own, mean, inverse_std, of_norm[block, 0], of_norm[block, 1])


@compiled(fastmath=_FAST)
def message_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, norm, batch, sums, of_sums, grad_normalized, grad_y, of_norm
):
    """grad_y (edges, C) of y = gamma z_hat + beta, from the gradient of the normalised sums (nodes, F).

    norm: (mean, inverse_std, gamma, beta), (C,) each. of_sums: (mean, inverse_std, gamma, mean_grad,
    mean_product), (F,) each, of the norm of the sums. of_norm: (blocks, 2, C) receives a block's sums of
    grad_y and of grad_y x z_hat.
    """
    blocks, _, _, _, multiplicities = batch
    grad_sums = np.empty((most_nodes(begin, end, blocks), sums.shape[1]), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        mean, inverse_std, gamma, mean_grad, mean_product = of_sums
        norm_gradients_of_rows(
            sums[start:stop], grad_normalized[start:stop], multiplicities[start:stop],
            mean, inverse_std, gamma, mean_grad, mean_product, grad_sums[: stop - start],
        )  # fmt: skip
        means, inverse_stds, gammas, betas = norm
        _gate_gradients(
            block, z, means, inverse_stds, gammas, betas, batch, grad_sums, grad_y,
            of_norm[block, 0], of_norm[block, 1],
        )  # fmt: skip


@compiled(fastmath=_FAST)
def _gate_gradients(  # type: ignore[no-untyped-def]
    block, z, means, inverse_stds, gammas, betas, batch, grad_sums, grad_y, sums, products
):
    """grad_y from grad_sums (nodes of the block, F); the block's sums of it and of grad_y x z_hat, (C,)."""
    blocks, edge_offsets, _, weights, _ = batch
    half, start = grad_sums.shape[1], blocks[block]
    mean_f, std_f, gamma_f, beta_f = means[:half], inverse_stds[:half], gammas[:half], betas[:half]
    mean_c, std_c, gamma_c, beta_c = means[half:], inverse_stds[half:], gammas[half:], betas[half:]
    sums_f, sums_c, products_f, products_c = sums[:half], sums[half:], products[:half], products[half:]
    for c in range(2 * half):
        sums[c] = products[c] = _F0
    for node in range(start, blocks[block + 1]):
        upstream = grad_sums[node - start]
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            weight = weights[edge]
            row_f, row_c, y_f, y_c = z[edge, :half], z[edge, half:], grad_y[edge, :half], grad_y[edge, half:]
            for c in range(half):
                z_filter = (row_f[c] - mean_f[c]) * std_f[c]
                z_core = (row_c[c] - mean_c[c]) * std_c[c]
                y_core = gamma_c[c] * z_core + beta_c[c]
                gate = _sigmoid(gamma_f[c] * z_filter + beta_f[c])
                t = _exp_negative(-abs(y_core))
                core = max(y_core, _F0) + _log1p_unit(t)
                slope = (_F1 if y_core >= _F0 else t) / (_F1 + t)
                common = weight * upstream[c] * gate
                grad_filter = common * (_F1 - gate) * core
                grad_core = common * slope
                y_f[c] = grad_filter
                y_c[c] = grad_core
                sums_f[c] += grad_filter
                sums_c[c] += grad_core
                products_f[c] += grad_filter * z_filter
                products_c[c] += grad_core * z_core


@compiled(fastmath=_FAST)
def input_gradients(  # type: ignore[no-untyped-def]
    begin, end, z, grad_y, norm, batch, first, values, nodes, weight, grad_next,
    grad_nodes, grad_weight, grad_bonds,
):  # fmt: skip
    """Take grad_y back through the batch norm and the linear map.

    norm: (mean, inverse_std, gamma, mean_grad, mean_product), (C,) each. weight: (C, 2F + centres).
    grad_next: (nodes, F) flows past the messages and is added. grad_nodes: (nodes, F), grad_weight: (blocks,
    C, 2F) and grad_bonds: (blocks, centres, C) receive the gradients.
    """
    blocks, edge_offsets, neighbors, weights, multiplicities = batch
    width = z.shape[1]
    products = np.empty((most_nodes(begin, end, blocks), 2 * width), np.float32)
    grad = np.empty(width, np.float32)
    mean, inverse_std, gamma, mean_grad, mean_product = norm
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        own, grad_bond = products[: stop - start], grad_bonds[block]
        clear_rows(own)
        clear_rows(grad_bond)
        for node in range(start, stop):
            of_source = own[node - start]
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                bond_weight = weights[edge] * multiplicities[node]
                upstream, row, of_neighbor = grad_y[edge], z[edge], own[neighbors[edge] - start, width:]
                for c in range(width):
                    z_hat = (row[c] - mean[c]) * inverse_std[c]
                    rest = upstream[c] - bond_weight * (mean_grad[c] + z_hat * mean_product[c])
                    grad[c] = gamma[c] * inverse_std[c] * rest
                    of_source[c] += grad[c]
                for c in range(width):
                    of_neighbor[c] += grad[c]
                for k in range(WINDOW):
                    value, of_center = values[edge, k], grad_bond[first[edge] + k]
                    for c in range(width):
                        of_center[c] += value * grad[c]
        add_node_gradients(block, own, nodes, weight, grad_next, batch, grad_nodes, grad_weight[block])
