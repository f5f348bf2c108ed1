"""Compiled loops over the nodes of the edge-updating convolution in training: v + MLP(BN(sum)).

Blocks as in `edge_kernels`.
"""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled
from .kernels import _F1, _FAST, _sigmoid, most_nodes
from .norm_kernels import norm_sums, normalize_rows
from .products import add_product, clear_rows, set_rows


@compiled(fastmath=_FAST)
def update_nodes(  # type: ignore[no-untyped-def]
    begin, end, blocks, nodes, sums, norm, hidden, hidden_bias, output, output_bias, normalized,
    before, updated,
):  # fmt: skip
    """updated = nodes + output_bias + silu(before) output, before = hidden_bias + normalized hidden.

    norm: (mean, inverse_std, gamma, beta), (F,) each, which turn sums to `normalized`; all others (nodes, F),
    hidden and output (F, F).
    """
    mean, inverse_std, gamma, beta = norm
    after = np.empty((blocks[end] - blocks[begin], nodes.shape[1]), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        own = normalized[start:stop]
        normalize_rows(sums[start:stop], mean, inverse_std, gamma, beta, own)
        set_rows(before[start:stop], hidden_bias)
        add_product(own, hidden, before[start:stop])
        for node in range(start, stop):
            for c in range(nodes.shape[1]):
                x = before[node, c]
                after[node - blocks[begin], c] = x * _sigmoid(x)
                updated[node, c] = nodes[node, c] + output_bias[c]
        add_product(after[start - blocks[begin] : stop - blocks[begin]], output, updated[start:stop])


@compiled(fastmath=_FAST)
def node_gradients(  # type: ignore[no-untyped-def]
    begin, end, blocks, grad_updated, sums, mean, inverse_std, hidden, output, normalized, before,
    grad_normalized, of_norm, grad_layers, grad_biases,
):  # fmt: skip
    """grad_normalized (nodes, F) from grad_updated (nodes, F); hidden and output as PyTorch has them.

    of_norm: (blocks, 2, F) a block's sums of grad_normalized and of its product with (sums - mean)
    inverse_std. grad_layers: (blocks, 2, F, F) of hidden and output; grad_biases: (blocks, 2, F).
    """
    width = sums.shape[1]
    most = most_nodes(begin, end, blocks)
    all_after, all_before = np.empty((most, width), np.float32), np.empty((most, width), np.float32)
    for block in range(begin, end):
        start, stop = blocks[block], blocks[block + 1]
        after, grad_before = all_after[: stop - start], all_before[: stop - start]
        upstream, of_layers, of_biases = grad_updated[start:stop], grad_layers[block], grad_biases[block]
        clear_rows(of_layers[0])
        clear_rows(of_layers[1])
        clear_rows(of_biases)
        clear_rows(grad_before)
        add_product(upstream, output, grad_before)
        for row in range(stop - start):
            for c in range(width):
                x = before[start + row, c]
                slope = _sigmoid(x)
                after[row, c] = x * slope
                grad_before[row, c] *= slope * (_F1 + x * (_F1 - slope))
                of_biases[0, c] += grad_before[row, c]
                of_biases[1, c] += upstream[row, c]
        own = grad_normalized[start:stop]
        clear_rows(own)
        add_product(grad_before, hidden, own)
        add_product(grad_before.T, normalized[start:stop], of_layers[0])
        add_product(upstream.T, after, of_layers[1])
        norm_sums(sums[start:stop], own, mean, inverse_std, of_norm[block, 0], of_norm[block, 1])
