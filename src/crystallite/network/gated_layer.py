"""A layer of the gated network (paper eq. 5) on the CPU, around the compiled loops of `gated_kernels`.

The linear map has no bias, as the batch norm that follows takes any constant away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..computing import buffers
from ..computing.threads import for_ranges
from . import gated_kernels as kernels
from .batch_norm import mean_gradients
from .batches import Inputs
from .layers import Floats, LayerKind, affine_map, bonds_and_topology, norm_of_blocks, single


class GatedWeights(NamedTuple):
    """Weights of a layer, or their gradients; F is the width of a node's vector.

    linear: (2F, 2F + centres), W. gamma and beta of the norms of messages (2F,) and of their sums (F,).
    """

    linear: Any
    message_gamma: Any
    message_beta: Any
    sum_gamma: Any
    sum_beta: Any


class _Passed(NamedTuple):
    """What the backward pass needs of the forward pass: the layer's nodes and what became of them.

    z: (edges, 2F) before its norm. sums: (nodes, F) before theirs. Moments: mean, inverse standard deviation.
    """

    weights: GatedWeights
    nodes: Floats
    z: Floats
    z_moments: tuple[Floats, Floats]
    sums: Floats
    sum_moments: tuple[Floats, Floats]


def _forward(
    nodes: Floats, states: None, weights: GatedWeights, inputs: Inputs
) -> tuple[Floats, None, tuple[Floats, ...], _Passed]:
    """See `LayerKind`; edges have no states."""
    bonds, batch = bonds_and_topology(inputs)
    (n_nodes, half), n_blocks = nodes.shape, bonds.n_blocks
    z = buffers.take(len(bonds.first), 2 * half)
    moments = np.empty((2, n_blocks, 2 * half), np.float32)
    by_input = buffers.take(*weights.linear.shape[::-1])
    by_input[...] = weights.linear.T
    for_ranges(kernels.edge_inputs, n_blocks, nodes, batch, bonds.first, bonds.values, by_input, z, *moments)
    buffers.give(by_input)
    z_variance, z_moments = norm_of_blocks(bonds.block_weights, inputs.n_bonds, *moments)
    scale, shift = affine_map(z_moments, weights.message_gamma, weights.message_beta)

    sums, sums_of_blocks = np.empty((n_nodes, half), np.float32), np.empty((2, n_blocks, half))
    for_ranges(kernels.messages, n_blocks, z, scale, shift, batch, sums, *sums_of_blocks)
    sum_variance, sum_moments = norm_of_blocks(bonds.block_atoms, inputs.n_atoms, *sums_of_blocks)

    updated = np.empty_like(nodes)
    norm = (*sum_moments, weights.sum_gamma, weights.sum_beta)
    for_ranges(kernels.update_nodes, n_blocks, batch[0], nodes, sums, norm, updated, least=16)
    passed = _Passed(weights, nodes, z, z_moments, sums, sum_moments)
    return updated, None, (z_moments[0], z_variance, sum_moments[0], sum_variance), passed


def _backward(
    passed: _Passed, grad_updated: Floats, grad_states: None, inputs: Inputs
) -> tuple[Floats | None, ...]:
    """See `LayerKind`."""
    bonds, batch = bonds_and_topology(inputs)
    weights, n_blocks = passed.weights, bonds.n_blocks
    (n_nodes, half), z = passed.nodes.shape, passed.z
    grad_normalized, of_sums = np.empty((n_nodes, half), np.float32), np.empty((n_blocks, 2, half))
    norm = (*passed.sum_moments, weights.sum_gamma, weights.sum_beta)
    for_ranges(
        kernels.node_gradients, n_blocks, batch[0], grad_updated, passed.nodes, passed.sums, norm,
        grad_normalized, of_sums, least=16,
    )  # fmt: skip
    grad_sum_beta, grad_sum_gamma = grad_sum_norm = of_sums.sum(0)
    sum_norm = (*passed.sum_moments, weights.sum_gamma, *mean_gradients(grad_sum_norm, inputs.n_atoms))

    grad_y, of_z = buffers.take(*z.shape), np.empty((n_blocks, 2, 2 * half), np.float32)
    for_ranges(
        kernels.message_gradients, n_blocks, z,
        (*passed.z_moments, weights.message_gamma, weights.message_beta), batch,
        passed.sums, sum_norm, grad_normalized, grad_y, of_z,
    )  # fmt: skip
    grad_beta, grad_gamma = grad_z_norm = of_z.sum(0, dtype=np.float64)
    z_norm = (*passed.z_moments, weights.message_gamma, *mean_gradients(grad_z_norm, inputs.n_bonds))

    grad_nodes = np.empty_like(passed.nodes)
    of_node_weights = buffers.take(n_blocks, 2 * half, 2 * half)
    of_bond_weights = buffers.take(n_blocks, weights.linear.shape[1] - 2 * half, 2 * half)
    for_ranges(
        kernels.input_gradients, n_blocks, z, grad_y, z_norm, batch, bonds.first, bonds.values,
        passed.nodes, weights.linear, grad_normalized, grad_nodes, of_node_weights, of_bond_weights,
    )  # fmt: skip
    gradients = GatedWeights(
        np.hstack((of_node_weights.sum(0), of_bond_weights.sum(0).T)),
        *single(grad_gamma, grad_beta, grad_sum_gamma, grad_sum_beta),
    )  # fmt: skip
    buffers.give(grad_y, of_node_weights, of_bond_weights)
    return grad_nodes, None, *gradients


GATED = LayerKind(GatedWeights, _forward, _backward)
