"""The first states of edges on the CPU as one differentiable operation: silu of a map of their Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from ..computing.threads import for_ranges
from . import edge_kernels as kernels
from .bonds import Bonds


def first_states(weight: Tensor, bonds: Bonds) -> Tensor:
    """Return (edges, E): silu of each bond's Gaussians times the weight (E, centres); differentiable."""
    states: Tensor = _FirstStates.apply(weight, bonds)  # type: ignore[no-untyped-call]
    return states


class _FirstStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bonds: Bonds) -> Tensor:  # type: ignore[override]
        products = weight.new_empty(len(bonds.first), len(weight))
        by_center = weight.detach().T.contiguous().numpy()
        gaussians = (bonds.topology, bonds.first, bonds.values)
        for_ranges(kernels.first_states, bonds.n_blocks, *gaussians, by_center, products.numpy(), least=8)
        ctx.bonds, ctx.n_centers = bonds, weight.shape[1]
        ctx.save_for_backward(products)
        return silu(products)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        bonds, (products,) = ctx.bonds, ctx.saved_tensors
        upstream = torch.ops.aten.silu_backward(grad_states, products).contiguous().numpy()
        gradients = np.empty((bonds.n_blocks, ctx.n_centers, upstream.shape[1]), np.float32)
        gaussians = (bonds.topology, bonds.first, bonds.values)
        for_ranges(kernels.first_state_gradients, bonds.n_blocks, *gaussians, upstream, gradients, least=4)
        return torch.from_numpy(gradients.sum(0, dtype=np.float32)).T, None
