"""Compiled loops of what gated and edge-updating messages have in common, on the CPU in float32.

z_ij = W_i v_i + W_j v_j + ...: two products for each node of a block, P and Q, serve all of its edges. F is
the width of a node's vector, C = 2F that of z.
"""

from __future__ import annotations

from ..computing.compiled import compiled
from .kernels import _F0, _F1, _FAST
from .products import add_product, clear_rows, copy_rows


@compiled(fastmath=_FAST)
def node_products(block, nodes, weight, batch, products):  # type: ignore[no-untyped-def]
    """products (nodes of the block, 2C) = P beside Q, of nodes (nodes, F) and weight (2F and more, C)."""
    start, stop = batch[0][block], batch[0][block + 1]
    half, width = nodes.shape[1], weight.shape[1]
    own = products[: stop - start]
    clear_rows(own)
    add_product(nodes[start:stop], weight[:half], own[:, :width])
    add_product(nodes[start:stop], weight[half : 2 * half], own[:, width:])


@compiled(fastmath=_FAST)
def add_node_gradients(  # type: ignore[no-untyped-def]
    block, grad_products, nodes, weight, grad_next, batch, grad_nodes, grad_weight
):
    """Gradients of nodes (nodes, F) and of weight (C, 2F and more) from those of P and Q.

    grad_products: (nodes of the block, 2C). grad_next: (nodes, F) is added. grad_weight is the block's.
    """
    start, stop = batch[0][block], batch[0][block + 1]
    half, width = nodes.shape[1], len(weight)
    copy_rows(grad_next[start:stop], grad_nodes[start:stop])
    clear_rows(grad_weight)
    for side in range(2):
        columns = grad_products[:, side * width : (side + 1) * width]
        add_product(columns, weight[:, side * half : (side + 1) * half], grad_nodes[start:stop])
        add_product(columns.T, nodes[start:stop], grad_weight[:, side * half : (side + 1) * half])


@compiled(fastmath=_FAST)
def block_moments(block, z, batch, mean, square):  # type: ignore[no-untyped-def]
    """Weighted mean of a block's rows of z, and weighted sum of squared deviations from it: (C,) each."""
    blocks, edge_offsets, _, weights, multiplicities = batch
    width = z.shape[1]
    for c in range(width):
        mean[c] = square[c] = _F0
    total = _F0
    for node in range(blocks[block], blocks[block + 1]):
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            row, weight = z[edge], weights[edge] * multiplicities[node]
            total += weight
            for c in range(width):
                mean[c] += weight * row[c]
    inverse = _F1 / total
    for c in range(width):
        mean[c] *= inverse
    for node in range(blocks[block], blocks[block + 1]):
        for edge in range(edge_offsets[node], edge_offsets[node + 1]):
            row, weight = z[edge], weights[edge] * multiplicities[node]
            for c in range(width):
                deviation = row[c] - mean[c]
                square[c] += weight * deviation * deviation
