"""The layers of the edge-updating network on the CPU, as one differentiable operation around compiled loops.

Between two sums over the batch, which a layer's two norms need in each direction, all is done by one loop,
block by block, so that a block's arrays stay in the cache and a small batch costs few calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..computing import buffers
from ..computing.threads import for_ranges
from . import edge_kernels, node_kernels
from .batch_norm import Moments, mean_gradients, moments_of_blocks
from .batches import Inputs
from .bonds import Bonds
from .norm_kernels import EPSILON

Floats = NDArray[np.float32]


class LayerWeights(NamedTuple):
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

    weights: LayerWeights
    nodes: Floats
    states: Floats
    z: Floats
    z_moments: tuple[Floats, Floats]  # mean and inverse standard deviation
    sums: Floats
    sum_moments: tuple[Floats, Floats]
    hidden_inputs: Floats
    hidden_outputs: Floats


def edge_updating_layers(
    nodes: Tensor, states: Tensor, layers: Sequence[LayerWeights], inputs: Inputs
) -> tuple[Tensor, list[Moments]]:
    """Return the nodes (nodes, F) after all layers, and of each layer the moments of z and of the sums.

    states: (edges, E); all layers but the last have an update of them. Differentiable in nodes, states and
    weights, once; layers below the first that anything needs a gradient of are passed over on the way back.
    """
    assert layers[-1].update is None, "nobody would use the last states"
    weights = [weight for layer in layers for weight in layer]
    nodes, *moments = _EdgeUpdatingLayers.apply(nodes, states, inputs, *weights)  # type: ignore[no-untyped-call]
    return nodes, [Moments(*pair) for pair in zip(moments[::2], moments[1::2], strict=True)]


class _EdgeUpdatingLayers(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, nodes: Tensor, states: Tensor, inputs: Inputs, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(nodes, states, *weights)  # who changes one of them now is told so
        arrays, size = [_array(weight) for weight in weights], len(LayerWeights._fields)
        updated, next_states = _array(nodes), _array(states)
        ctx.inputs, ctx.passed, of_norms = inputs, [], []
        of_inputs, of_weights = ctx.needs_input_grad[:2], ctx.needs_input_grad[3:]
        ctx.first = 0 if any(of_inputs) else (*of_weights, True).index(True) // size
        for start in range(0, len(arrays), size):
            layer = LayerWeights(*arrays[start : start + size])
            updated, next_states, moments, passed = _forward(updated, next_states, layer, inputs)
            if start >= ctx.first * size:
                ctx.passed.append(passed)
            else:
                buffers.give(passed.z)
            of_norms += [torch.from_numpy(array) for array in moments]
        ctx.mark_non_differentiable(*of_norms)
        return torch.from_numpy(updated), *of_norms

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_updated: Tensor, *_: Any) -> tuple[Any, ...]:  # type: ignore[override]
        _ = ctx.saved_tensors
        all_passed, ctx.passed = ctx.passed, []
        if not all_passed:
            raise RuntimeError("gradients of layers are computed once: their arrays are used again by then")
        grad_nodes, grad_states = _array(grad_updated), None
        of_weights: list[Floats | None] = []
        while all_passed:
            passed = all_passed.pop()
            grad_nodes, grad_states, *of_layer = _backward(passed, grad_nodes, grad_states, ctx.inputs)
            of_weights = of_layer + of_weights
        if ctx.first:
            grad_nodes, grad_states = None, None
        of_weights = ctx.first * len(LayerWeights._fields) * [None] + of_weights
        of_nodes, of_states, *gradients = map(_tensor, (grad_nodes, grad_states, *of_weights))
        return of_nodes, of_states, None, *gradients


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _tensor(array: Floats | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def _bonds(inputs: Inputs) -> tuple[Bonds, tuple[NDArray[Any], ...]]:
    assert inputs.bonds is not None, "these inputs are not for the fused operations"
    return inputs.bonds, inputs.bonds.topology


def _forward(
    nodes: Floats, states: Floats, weights: LayerWeights, inputs: Inputs
) -> tuple[Floats, Floats | None, tuple[Floats, ...], _Passed]:
    """Return the next nodes and states, mean and variance of z and of the sums, and what passed."""
    bonds, batch = _bonds(inputs)
    (n_nodes, half), n_blocks = nodes.shape, bonds.n_blocks
    z = buffers.take(len(states), 2 * half)
    moments = np.empty((2, n_blocks, 2 * half), np.float32)
    by_input = np.ascontiguousarray(weights.linear.T)
    for_ranges(edge_kernels.edge_inputs, n_blocks, nodes, states, batch, by_input, z, *moments)
    z_mean, z_variance = moments_of_blocks(bonds.block_weights, inputs.n_bonds, *moments)
    z_moments = z_mean, _inverse_std(z_variance)
    scale = weights.message_gamma * z_moments[1]
    shift = weights.message_beta - z_mean * scale

    sums, sums_of_blocks = np.empty((n_nodes, half), np.float32), np.empty((2, n_blocks, half))
    next_states = None if weights.update is None else np.empty_like(states)
    by_message = _none(half) if weights.update is None else np.ascontiguousarray(weights.update.T)
    for_ranges(
        edge_kernels.messages, n_blocks, z, scale, shift, batch, states, by_message, sums,
        _none(states.shape[1]) if next_states is None else next_states, *sums_of_blocks,
    )  # fmt: skip
    sum_mean, sum_variance = moments_of_blocks(bonds.block_atoms, inputs.n_atoms, *sums_of_blocks)
    sum_moments = sum_mean, _inverse_std(sum_variance)

    hidden_inputs, hidden_outputs, updated = np.empty((3, n_nodes, half), np.float32)
    for_ranges(
        node_kernels.update_nodes, n_blocks, batch[0], nodes, sums,
        (*sum_moments, weights.sum_gamma, weights.sum_beta),
        np.ascontiguousarray(weights.hidden.T), weights.hidden_bias,
        np.ascontiguousarray(weights.output.T), weights.output_bias,
        hidden_inputs, hidden_outputs, updated, least=8,
    )  # fmt: skip
    passed = _Passed(weights, nodes, states, z, z_moments, sums, sum_moments, hidden_inputs, hidden_outputs)
    return updated, next_states, (z_mean, z_variance, sum_mean, sum_variance), passed


def _backward(
    passed: _Passed, grad_updated: Floats, grad_next: Floats | None, inputs: Inputs
) -> tuple[Floats | None, ...]:
    """Return the gradients of nodes, states and all weights, from those of the next nodes and states."""
    bonds, batch = _bonds(inputs)
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
    grad_states = _none(width) if grad_next is None else grad_next
    update = _none(half) if weights.update is None else weights.update
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
    of_linear = np.empty((n_blocks, *weights.linear.shape), np.float32)
    for_ranges(
        edge_kernels.input_gradients, n_blocks, z, grad_y, z_norm, batch, passed.nodes, passed.states,
        weights.linear, grad_updated, grad_states, grad_nodes, grad_inputs, of_linear,
    )  # fmt: skip
    for array in (z, grad_y):
        buffers.give(array)
    (grad_hidden, grad_output), (hidden_bias, output_bias) = of_layers.sum(0), of_biases.sum(0)
    gradients = LayerWeights(
        of_linear.sum(0), None if weights.update is None else of_update.sum(0),
        grad_gamma.astype(np.float32), grad_beta.astype(np.float32),
        grad_sum_gamma.astype(np.float32), grad_sum_beta.astype(np.float32),
        grad_hidden, hidden_bias, grad_output, output_bias,
    )  # fmt: skip
    return grad_nodes, grad_inputs, *gradients


def _inverse_std(variance: Floats) -> Floats:
    inverse: Floats = 1 / np.sqrt(variance + np.float32(EPSILON))
    return inverse


def _none(width: int) -> Floats:
    """An array without rows, where loops have nothing to read or to write."""
    return np.empty((0, width), np.float32)
