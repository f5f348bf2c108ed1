"""The edge-updating convolution as one differentiable operation on the CPU, around its compiled loops.

The linear map is taken apart as in `factorized`. Everything is done block by block, so that a block's arrays
stay in the cache between its products and its loops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..computing import buffers
from ..computing.threads import for_ranges
from . import edge_kernels as kernels
from .batch_norm import Moments, mean_gradients, moments_of_blocks
from .bonds import Bonds
from .factorized import in_halves, node_and_edge_weights, weight_gradient


def first_states(weight: Tensor, bonds: Bonds) -> Tensor:
    """Return (edges, E): the product of each bond's Gaussians and weight (E, centres); differentiable."""
    states: Tensor = _FirstStates.apply(weight, bonds)  # type: ignore[no-untyped-call]
    return states


def edge_messages(
    nodes: Tensor,
    states: Tensor,
    weight: Tensor,
    update: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    bonds: Bonds,
    n_bonds: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Moments]:
    """Return sum_j w_ij m_ij for every node, e_ij + D m_ij for every edge, and the moments of the raw z.

    m_ij = sigmoid(filter) silu(core) with (filter, core) = BN(z), z = W [v_i, v_j, e_ij].

    nodes: (nodes, F). states: (edges, E), e. weight: (2F, 2F + E), W. update: (E, F), D, or None where the
    states are not used any more. gamma, beta: (2F,) of the batch norm over all messages. n_bonds: sum over
    edges of weight x multiplicity, over all processes. Differentiable in all tensors.
    """
    sums, states, mean, variance = _EdgeMessages.apply(  # type: ignore[no-untyped-call]
        nodes, states, weight, update, gamma, beta, bonds, n_bonds, epsilon
    )
    return sums, states, Moments(mean, variance)


class _FirstStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bonds: Bonds) -> Tensor:  # type: ignore[override]
        ctx.bonds, ctx.n_centers = bonds, weight.shape[1]
        states = weight.new_empty(len(bonds.first), len(weight))
        by_center = weight.detach().T.contiguous().numpy()
        gaussians = (bonds.topology, bonds.first, bonds.values)
        for_ranges(kernels.first_states, bonds.n_blocks, *gaussians, by_center, states.numpy())
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        bonds = ctx.bonds
        gradients = np.empty((bonds.n_blocks, ctx.n_centers, grad_states.shape[1]), np.float32)
        gaussians = (bonds.topology, bonds.first, bonds.values)
        upstream = grad_states.contiguous().numpy()
        for_ranges(kernels.first_state_gradients, bonds.n_blocks, *gaussians, upstream, gradients)
        return torch.from_numpy(gradients.sum(0, dtype=np.float32)).T, None


class _Normalized(NamedTuple):
    """z (edges, 2F) and what turns it into y = gamma (z - mean) inverse_std + beta; (2F,) each."""

    z: NDArray[np.float32]
    mean: NDArray[np.float32]
    inverse_std: NDArray[np.float32]
    gamma: NDArray[np.float32]
    beta: NDArray[np.float32]


class _EdgeMessages(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        nodes: Tensor,
        states: Tensor,
        weight: Tensor,
        update: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        bonds: Bonds,
        n_bonds: float,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, node_weight, means, squares = _edge_inputs(nodes, states, weight, bonds)
        mean, variance = moments_of_blocks(bonds.block_weights, n_bonds, means, squares)
        inverse_std = 1 / np.sqrt(variance + np.float32(epsilon))
        scale = gamma.detach().numpy() * inverse_std
        shift = beta.detach().numpy() - mean * scale
        sums, updated = _apply_gate(z, scale, shift, bonds, states, update)
        ctx.save_for_backward(nodes, states, weight, update, gamma, beta, node_weight)
        ctx.saved = (bonds, n_bonds, z, mean, inverse_std)
        statistics = torch.from_numpy(mean), torch.from_numpy(variance)
        ctx.mark_non_differentiable(*statistics)
        return sums, updated, *statistics

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, grad_sums: Tensor, grad_states: Tensor, *_: Any
    ) -> tuple[Tensor | None, ...]:
        nodes, states, weight, update, gamma, beta, node_weight = ctx.saved_tensors
        bonds, n_bonds, z, mean, inverse_std = ctx.saved
        normalized = _Normalized(z, mean, inverse_std, gamma.detach().numpy(), beta.detach().numpy())
        width = nodes.shape[1]
        grad_states = grad_states.contiguous()
        grad_y, grad_beta, grad_gamma, grad_update = _message_gradients(
            normalized, grad_sums.contiguous().numpy(), grad_states, update, bonds
        )
        grad_inputs, grad_states, grad_edge_weight = _input_gradients(
            normalized, grad_y, mean_gradients(grad_beta, grad_gamma, n_bonds), bonds,
            states, grad_states, weight[:, 2 * width :],
        )  # fmt: skip
        grad_product = torch.from_numpy(grad_inputs)
        grad_nodes = grad_product @ node_weight
        for array in (normalized.z, grad_y, grad_inputs):
            buffers.give(array)
        ctx.saved = None  # z is gone: a second backward must fail, not compute nonsense
        return (
            grad_nodes,
            grad_states,
            weight_gradient(grad_product, nodes, grad_edge_weight),
            grad_update,
            torch.from_numpy(grad_gamma.astype(np.float32)),
            torch.from_numpy(grad_beta.astype(np.float32)),
            None,
            None,
            None,
        )


def _edge_inputs(
    nodes: Tensor, states: Tensor, weight: Tensor, bonds: Bonds
) -> tuple[NDArray[np.float32], Tensor, NDArray[np.float32], NDArray[np.float32]]:
    """Return z (edges, 2F), the stacked node weights (4F, F) and each block's mean and squared deviations."""
    width, states = nodes.shape[1], states.detach()
    node_weight, edge_weight = node_and_edge_weights(weight, width)
    node_product = (nodes.detach() @ node_weight.T).numpy()
    z = buffers.take(len(states), 2 * width)
    means, squares = np.empty((2, bonds.n_blocks, 2 * width), np.float32)
    product = torch.from_numpy(z)

    def inputs_of_blocks(begin: int, end: int) -> None:
        for block in range(begin, end):
            edges = bonds.edges(block)
            torch.mm(states[edges], edge_weight, out=product[edges])
            kernels.add_nodes(block, node_product, bonds.topology, z, means[block], squares[block])

    for_ranges(inputs_of_blocks, bonds.n_blocks)
    return z, node_weight, means, squares


def _apply_gate(
    z: NDArray[np.float32],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    bonds: Bonds,
    states: Tensor,
    update: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the sums of messages (nodes, F) and the states after them (edges, E)."""
    width, states = z.shape[1] // 2, states.detach()
    sums = states.new_empty(len(bonds.topology[-1]), width)
    updated = states if update is None else torch.empty_like(states)
    by_channel = None if update is None else update.detach().T.contiguous()

    def gate_blocks(begin: int, end: int) -> None:
        scratch = buffers.take(bonds.most_edges, width)
        for block in range(begin, end):
            edges = bonds.edges(block)
            message = scratch[: edges.stop - edges.start]
            kernels.messages(block, z, scale, shift, bonds.topology, message, sums.numpy())
            if by_channel is not None:
                torch.addmm(states[edges], torch.from_numpy(message), by_channel, out=updated[edges])
        buffers.give(scratch)

    for_ranges(gate_blocks, bonds.n_blocks)
    return sums, updated.clone() if update is None else updated


def _message_gradients(
    normalized: _Normalized,
    grad_sums: NDArray[np.float32],
    grad_states: Tensor,
    update: Tensor | None,
    bonds: Bonds,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], Tensor | None]:
    """Return the gradients of y (edges, 2F), of beta and gamma (2F,) each, and of the update (E, F)."""
    n_blocks, width = bonds.n_blocks, grad_sums.shape[1]
    grad_y = buffers.take(len(grad_states), 2 * width)
    sums, products = np.empty((2, n_blocks, 2, width), np.float32)
    *halves, grad_halves = in_halves(*normalized, grad_y)
    of_blocks = None if update is None else update.new_empty(n_blocks, *update.shape)
    matrix = None if update is None else update.detach()

    def gate_blocks(begin: int, end: int) -> None:
        message, grad_message = buffers.take(2 * bonds.most_edges, width).reshape(2, -1, width)
        grad_message[:] = 0
        for block in range(begin, end):
            edges = bonds.edges(block)
            size = edges.stop - edges.start
            if matrix is not None:
                torch.mm(grad_states[edges], matrix, out=torch.from_numpy(grad_message[:size]))
            kernels.message_gradients(
                block, *halves, bonds.topology, grad_sums, grad_message[:size], message[:size],
                grad_halves, sums[block], products[block],
            )  # fmt: skip
            if of_blocks is not None:
                torch.mm(grad_states[edges].T, torch.from_numpy(message[:size]), out=of_blocks[block])
        buffers.give(message)

    for_ranges(gate_blocks, n_blocks)
    grad_beta, grad_gamma = (array.sum(0, dtype=np.float64).reshape(-1) for array in (sums, products))
    return grad_y, grad_beta, grad_gamma, None if of_blocks is None else of_blocks.sum(0)


def _input_gradients(
    normalized: _Normalized,
    grad_y: NDArray[np.float32],
    mean_grads: tuple[NDArray[np.float32], NDArray[np.float32]],
    bonds: Bonds,
    states: Tensor,
    grad_states: Tensor,
    edge_weight: Tensor,
) -> tuple[NDArray[np.float32], Tensor, Tensor]:
    """Return the gradients of the node product (nodes, 4F), the states and the edge weight (2F, E)."""
    z, mean, inverse_std, gamma, _ = normalized
    states, matrix = states.detach(), edge_weight.detach().contiguous()
    grad_nodes = buffers.take(len(bonds.topology[-1]), 2 * z.shape[1])
    grad_inputs, of_blocks = torch.empty_like(states), matrix.new_empty(bonds.n_blocks, *matrix.shape)
    gradient, scale = torch.from_numpy(grad_y), gamma * inverse_std

    def inputs_of_blocks(begin: int, end: int) -> None:
        for block in range(begin, end):
            edges = bonds.edges(block)
            kernels.norm_gradients(
                block, z, grad_y, mean, inverse_std, scale, *mean_grads, bonds.topology, grad_nodes
            )  # fmt: skip
            torch.addmm(grad_states[edges], gradient[edges], matrix, out=grad_inputs[edges])
            torch.mm(gradient[edges].T, states[edges], out=of_blocks[block])

    for_ranges(inputs_of_blocks, bonds.n_blocks)
    return grad_nodes, grad_inputs, of_blocks.sum(0)
