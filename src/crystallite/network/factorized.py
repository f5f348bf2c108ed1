"""The linear map W [v_i, v_j, u_ij] as W_i v_i + W_j v_j + W_u u_ij, for gated messages.

Two products per node, stacked to one, and a product per edge. F is the width of a node's vector.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def node_and_edge_weights(weight: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return W_i over W_j, (4F, F), and the transpose of W_u, (K, 2F), of a weight (2F, 2F + K)."""
    weight = weight.detach()
    node_weight = torch.cat((weight[:, :width], weight[:, width : 2 * width]))
    return node_weight, weight[:, 2 * width :].T.contiguous()


def weight_gradient(grad_node_product: Tensor, nodes: Tensor, grad_edge_weight: Tensor) -> Tensor:
    """Return the gradient of the weight (2F, 2F + K).

    grad_node_product: (nodes, 4F), of the products with W_i and W_j. grad_edge_weight: (2F, K).
    """
    of_source, of_neighbor = (grad_node_product.T @ nodes).chunk(2)
    return torch.cat((of_source, of_neighbor, grad_edge_weight), dim=1)


def in_halves(*arrays: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return views of arrays whose last axis, the 2F channels, is split in (2, F): filter and core."""
    return [array.reshape(*array.shape[:-1], 2, array.shape[-1] // 2) for array in arrays]
