"""The gated convolution as one differentiable operation on the CPU, around the compiled loops of `kernels`.

The linear map is taken apart as in `factorized`. Its bias is left out, as the batch norm that follows takes
any constant away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..computing import buffers
from ..computing.threads import for_ranges
from . import kernels
from .batch_norm import Moments, mean_gradients, moments_of_blocks
from .bonds import Bonds
from .factorized import in_halves, node_and_edge_weights, weight_gradient


def gated_messages(
    nodes: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, bonds: Bonds, n_bonds: float, epsilon: float
) -> tuple[Tensor, Moments]:
    """Return sum_j w_ij sigmoid(z_filter) softplus(z_core) for every node, and the moments of the raw z.

    nodes: (nodes, F). weight: (2F, 2F + centres). gamma, beta: (2F,) of the batch norm over all messages.
    n_bonds: sum over edges of weight x multiplicity, over all processes.
    Differentiable in the first four arguments (paper eq. 5).
    """
    messages, mean, variance = _GatedMessages.apply(  # type: ignore[no-untyped-call]
        nodes, weight, gamma, beta, bonds, n_bonds, epsilon
    )
    return messages, Moments(mean, variance)


class _GatedMessages(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        nodes: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        bonds: Bonds,
        n_bonds: float,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, node_weight, means, squares = _edge_inputs(nodes, weight, bonds)
        mean, variance = moments_of_blocks(bonds.block_weights, n_bonds, means, squares)
        inverse_std = 1 / np.sqrt(variance + np.float32(epsilon))
        scale = gamma.detach().numpy() * inverse_std
        messages = torch.empty_like(nodes)
        shift = beta.detach().numpy() - mean * scale
        for_ranges(kernels.gated_sums, bonds.n_blocks, z, scale, shift, bonds.topology, messages.numpy())
        ctx.save_for_backward(nodes, node_weight, gamma, beta)
        ctx.saved = (bonds, n_bonds, z, mean, inverse_std, weight.shape[1] - 2 * nodes.shape[1])
        statistics = torch.from_numpy(mean), torch.from_numpy(variance)
        ctx.mark_non_differentiable(*statistics)
        return messages, *statistics

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_messages: Tensor, *_: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        nodes, node_weight, gamma, beta = ctx.saved_tensors
        if ctx.saved is None:
            raise RuntimeError("gradients of messages are computed once: their arrays are used again by then")
        bonds, n_bonds, z, mean, inverse_std, n_centers = ctx.saved
        gamma, beta = gamma.detach().numpy(), beta.detach().numpy()
        n_blocks, width = bonds.n_blocks, z.shape[1]
        grad_y = buffers.take(*z.shape)
        sums, products = of_blocks = np.empty((2, n_blocks, width), np.float32)
        halves = in_halves(z, mean, inverse_std, gamma, beta, grad_y, sums, products)
        upstream = grad_messages.contiguous().numpy()
        for_ranges(
            kernels.gate_gradients, n_blocks,
            *halves[:5], bonds.topology, upstream, *halves[5:],
        )  # fmt: skip
        of_norm = of_blocks.sum(1, dtype=np.float64)
        means = mean_gradients(of_norm, n_bonds)
        grad_node_product = buffers.take(len(nodes), 2 * width)
        grad_bonds = np.empty((n_blocks, n_centers, width), np.float32)
        for_ranges(
            kernels.edge_gradients, n_blocks,
            z, grad_y, mean, inverse_std, gamma * inverse_std, *means,
            bonds.topology, bonds.first, bonds.values, grad_node_product, grad_bonds,
        )  # fmt: skip
        grad_product = torch.from_numpy(grad_node_product)
        grad_bond_weight = torch.from_numpy(grad_bonds.sum(0, dtype=np.float32)).T
        grad_weight = weight_gradient(grad_product, nodes, grad_bond_weight)
        grad_nodes = grad_product @ node_weight
        for array in (z, grad_y, grad_node_product):
            buffers.give(array)
        ctx.saved = None
        grad_beta, grad_gamma = torch.from_numpy(of_norm.astype(np.float32))
        return (
            grad_nodes,
            grad_weight,
            grad_gamma,
            grad_beta,
            None,
            None,
            None,
        )


def _edge_inputs(nodes: Tensor, weight: Tensor, bonds: Bonds) -> tuple[NDArray[np.float32], Tensor, Any, Any]:
    """Return z (edges, 2F), the stacked node weights (4F, F) and each block's mean and squared deviations."""
    width = nodes.shape[1]
    node_weight, bond_weight = node_and_edge_weights(weight, width)
    node_product = nodes.detach() @ node_weight.T
    z = buffers.take(len(bonds.first), 2 * width)
    means, squares = np.empty((2, bonds.n_blocks, 2 * width), np.float32)
    for_ranges(
        kernels.edge_inputs,
        bonds.n_blocks,
        node_product.numpy(),
        bond_weight.numpy(),
        bonds.topology,
        bonds.first,
        bonds.values,
        z,
        means,
        squares,
    )
    return z, node_weight, means, squares
