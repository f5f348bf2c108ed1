"""A layer of the edge-updating network on the CPU, around the loops of `edge_kernels` and `node_kernels`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..computing import buffers
from ..computing.threads import for_ranges
from . import edge_kernels, node_kernels
from .batch_norm import mean_gradients
from .batches import Inputs
from .layers import Floats, LayerKind, affine_map, bonds_and_topology, norm_of_blocks, single


class EdgeUpdatingWeights(NamedTuple):
    """Weights of a layer, or their gradients; F is the width of a node's vector, E that of an edge's state.

    linear: (2F, 2F + E), W. update: (E, F), D, or None where the states are not used any more. gamma and beta
    of the norms of messages (2F,) and of their sums (F,). hidden, output: (F, F), biases (F,).
    """

    linear: Any
    update: Any
    message_gamma: Any
    message_beta: Any
    sum_gamma: Any
    sum_beta: Any
    hidden: Any
    hidden_bias: Any
    output: Any
    output_bias: Any


class _Passed(NamedTuple):
    """What the backward pass needs of the forward pass: the layer's inputs and what became of them.

    z: (edges, 2F) before its norm. sums: (nodes, F) before theirs. hidden_inputs, hidden_outputs: (nodes, F)
    of the hidden layer, before its activation.
    """

    weights: EdgeUpdatingWeights
    nodes: Floats
    states: Floats
    z: Floats
    z_moments: tuple[Floats, Floats]  # mean and inverse standard deviation
    sums: Floats
    sum_moments: tuple[Floats, Floats]
    hidden_inputs: Floats
    hidden_outputs: Floats


def _forward(
    nodes: Floats, states: Floats, weights: EdgeUpdatingWeights, inputs: Inputs
) -> tuple[Floats, Floats | None, tuple[Floats, ...], _Passed]:
    """See `LayerKind`."""
    bonds, batch = bonds_and_topology(inputs)
    (n_nodes, half), n_blocks = nodes.shape, bonds.n_blocks
    z = buffers.take(len(states), 2 * half)
    moments = np.empty((2, n_blocks, 2 * half), np.float32)
    by_input = buffers.take(*weights.linear.shape[::-1])
    by_input[...] = weights.linear.T
    for_ranges(edge_kernels.edge_inputs, n_blocks, nodes, states, batch, by_input, z, *moments)
    buffers.give(by_input)
    z_variance, z_moments = norm_of_blocks(bonds.block_weights, inputs.n_bonds, *moments)
    scale, shift = affine_map(z_moments, weights.message_gamma, weights.message_beta)

    sums, sums_of_blocks = np.empty((n_nodes, half), np.float32), np.empty((2, n_blocks, half))
    next_states = None if weights.update is None else np.empty_like(states)
    by_message = _none(half) if weights.update is None else np.ascontiguousarray(weights.update.T)
    for_ranges(
        edge_kernels.messages, n_blocks, z, scale, shift, batch, states, by_message, sums,
        _none(states.shape[1]) if next_states is None else next_states, *sums_of_blocks,
    )  # fmt: skip
    sum_variance, sum_moments = norm_of_blocks(bonds.block_atoms, inputs.n_atoms, *sums_of_blocks)

    hidden_inputs, hidden_outputs, updated = np.empty((3, n_nodes, half), np.float32)
    for_ranges(
        node_kernels.update_nodes, n_blocks, batch[0], nodes, sums,
        (*sum_moments, weights.sum_gamma, weights.sum_beta),
        np.ascontiguousarray(weights.hidden.T), weights.hidden_bias,
        np.ascontiguousarray(weights.output.T), weights.output_bias,
        hidden_inputs, hidden_outputs, updated, least=8,
    )  # fmt: skip
    passed = _Passed(weights, nodes, states, z, z_moments, sums, sum_moments, hidden_inputs, hidden_outputs)
    return updated, next_states, (z_moments[0], z_variance, sum_moments[0], sum_variance), passed


def _backward(
    passed: _Passed, grad_updated: Floats, grad_next: Floats | None, inputs: Inputs
) -> tuple[Floats | None, ...]:
    """See `LayerKind`."""
    bonds, batch = bonds_and_topology(inputs)
    weights, (n_nodes, half), n_blocks = passed.weights, passed.nodes.shape, bonds.n_blocks
    grad_normalized = np.empty((n_nodes, half), np.float32)
    of_sums, of_layers = np.empty((n_blocks, 2, half)), np.empty((n_blocks, 2, half, half), np.float32)
    of_biases = np.empty((n_blocks, 2, half), np.float32)
    for_ranges(
        node_kernels.node_gradients, n_blocks, batch[0], grad_updated, passed.sums, *passed.sum_moments,
        weights.hidden, weights.output, passed.hidden_inputs, passed.hidden_outputs,
        grad_normalized, of_sums, of_layers, of_biases, least=4,
    )  # fmt: skip
    grad_sum_beta, grad_sum_gamma = grad_sum_norm = of_sums.sum(0)
    sum_norm = (*passed.sum_moments, weights.sum_gamma, *mean_gradients(grad_sum_norm, inputs.n_atoms))

    z, width = passed.z, passed.states.shape[1]
    grad_states = _none(width) if grad_next is None else grad_next  # nothing uses the last states
    update = _none(half) if grad_next is None else weights.update
    grad_y, of_z = buffers.take(*z.shape), np.empty((n_blocks, 2, 2 * half), np.float32)
    of_update = np.empty((n_blocks, *update.shape), np.float32)
    for_ranges(
        edge_kernels.message_gradients, n_blocks, z,
        (*passed.z_moments, weights.message_gamma, weights.message_beta), batch,
        passed.sums, sum_norm, grad_normalized, grad_states, update, grad_y, of_z, of_update,
    )  # fmt: skip
    grad_beta, grad_gamma = grad_z_norm = of_z.sum(0, dtype=np.float64)
    z_norm = (*passed.z_moments, weights.message_gamma, *mean_gradients(grad_z_norm, inputs.n_bonds))

    grad_nodes, grad_inputs = np.empty_like(passed.nodes), np.empty_like(passed.states)
    of_linear = buffers.take(n_blocks, *weights.linear.shape)
    for_ranges(
        edge_kernels.input_gradients, n_blocks, z, grad_y, z_norm, batch, passed.nodes, passed.states,
        weights.linear, grad_updated, grad_states, grad_nodes, grad_inputs, of_linear,
    )  # fmt: skip
    (grad_hidden, grad_output), (hidden_bias, output_bias) = of_layers.sum(0), of_biases.sum(0)
    gamma, beta, sum_gamma, sum_beta = single(grad_gamma, grad_beta, grad_sum_gamma, grad_sum_beta)
    gradients = EdgeUpdatingWeights(
        of_linear.sum(0), None if grad_next is None else of_update.sum(0),
        gamma, beta, sum_gamma, sum_beta,
        grad_hidden, hidden_bias, grad_output, output_bias,
    )  # fmt: skip
    buffers.give(grad_y, of_linear)
    return grad_nodes, grad_inputs, *gradients


def _none(width: int) -> Floats:
    """An array without rows, where loops have nothing to read or to write."""
    return np.empty((0, width), np.float32)


EDGE_UPDATING = LayerKind(EdgeUpdatingWeights, _forward, _backward)
