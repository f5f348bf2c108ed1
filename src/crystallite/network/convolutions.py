"""The layers of a network, each from the vectors of nodes and the states of edges to the next ones.

Each computes in plain tensor operations (any device, any precision), and all but `plain` in fused operations
where a batch has `bonds`: in training on the CPU in float32. Evaluation there is that of `evaluation`.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .batch_norm import WeightedBatchNorm, update_norms
from .batches import Inputs
from .edge_layer import EDGE_UPDATING, EdgeUpdatingWeights
from .gated_layer import GATED, GatedWeights
from .layers import fused_layers


class GatedConvolution(nn.Module):
    """v_i <- softplus(v_i + BN(sum_j w_ij sigmoid(z_filter) softplus(z_core))), paper eq. 5.

    z = BN(W [v_i, v_j, u_ij]), split in half as (filter, core).
    """

    kind = GATED

    def __init__(self, width: int, n_centers: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + n_centers, 2 * width, bias=False)
        self.message_norm = WeightedBatchNorm(2 * width)
        self.node_norm = WeightedBatchNorm(width)

    def forward(self, nodes: Tensor, edges: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """nodes: (nodes, width). edges: (edges, centres) Gaussians. Returns the next nodes, and edges."""
        z_filter, z_core = _normalized_inputs(self, nodes, edges, inputs)
        messages = inputs.weights.unsqueeze(1) * torch.sigmoid(z_filter) * softplus(z_core)
        sums = torch.zeros_like(nodes).index_add(0, inputs.sources, messages)
        return softplus(nodes + self.node_norm(sums, inputs.multiplicities, inputs.n_atoms)), edges

    def weights(self) -> GatedWeights:
        """Return what the fused operation needs."""
        return GatedWeights(
            self.linear.weight, self.message_norm.weight, self.message_norm.bias,
            self.node_norm.weight, self.node_norm.bias,
        )  # fmt: skip


class PlainConvolution(nn.Module):
    """v_i <- softplus(W_c sum_j w_ij [v_j, u_ij] + W_s v_i + b), paper eq. 4: all neighbours count alike."""

    def __init__(self, width: int, n_centers: int) -> None:
        super().__init__()
        self.of_neighbors = nn.Linear(width + n_centers, width, bias=False)
        self.of_self = nn.Linear(width, width)

    def forward(self, nodes: Tensor, edges: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Shapes as in GatedConvolution."""
        bonds = inputs.weights.unsqueeze(1) * torch.cat(
            (nodes.index_select(0, inputs.neighbors), edges), dim=1
        )
        sums = nodes.new_zeros(len(nodes), bonds.shape[1]).index_add(0, inputs.sources, bonds)
        return softplus(self.of_neighbors(sums) + self.of_self(nodes)), edges


class EdgeUpdatingConvolution(nn.Module):
    """v_i <- v_i + MLP(BN(sum_j w_ij m_ij)) and e_ij <- e_ij + D m_ij, m_ij = sigmoid(filter) silu(core).

    (filter, core) = BN(W [v_i, v_j, e_ij]): the gate of the article's eq. 5 on edges that have a state. Edges
    were given states that messages update by MEGNet (Chen et al., Chem. Mater. 31, 3564, 2019) and iCGCNN
    (Park and Wolverton, Phys. Rev. Materials 4, 063801, 2020). A state depends on the edge's length and its
    two nodes alone, so equal edges of a full graph stay equal, and reduction stays exact.
    """

    kind = EDGE_UPDATING

    def __init__(self, width: int, edge_width: int, updates_edges: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + edge_width, 2 * width, bias=False)
        self.message_norm = WeightedBatchNorm(2 * width)
        self.edge_update = nn.Linear(width, edge_width, bias=False) if updates_edges else None
        self.node_norm = WeightedBatchNorm(width)
        self.hidden, self.output = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.output.weight)  # the layer begins as the identity
        nn.init.zeros_(self.output.bias)

    def forward(self, nodes: Tensor, edges: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """nodes: (nodes, width). edges: (edges, edge_width). Returns the next of both."""
        sums, edges = self._messages(nodes, edges, inputs)
        sums = self.node_norm(sums, inputs.multiplicities, inputs.n_atoms)
        return nodes + self.output(silu(self.hidden(sums))), edges

    def weights(self) -> EdgeUpdatingWeights:
        """Return what the fused operation needs."""
        return EdgeUpdatingWeights(
            self.linear.weight, None if self.edge_update is None else self.edge_update.weight,
            self.message_norm.weight, self.message_norm.bias, self.node_norm.weight, self.node_norm.bias,
            self.hidden.weight, self.hidden.bias, self.output.weight, self.output.bias,
        )  # fmt: skip

    def _messages(self, nodes: Tensor, edges: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        z_filter, z_core = _normalized_inputs(self, nodes, edges, inputs)
        messages = torch.sigmoid(z_filter) * silu(z_core)
        weighted = inputs.weights.unsqueeze(1) * messages
        sums = torch.zeros_like(nodes).index_add(0, inputs.sources, weighted)
        return sums, edges if self.edge_update is None else edges + self.edge_update(messages)


def fused_convolutions(
    convolutions: nn.ModuleList, nodes: Tensor, states: Tensor | None, inputs: Inputs
) -> Tensor:
    """Return the nodes after all layers of a network in training mode, gated ones or edge-updating ones.

    The inputs must have bonds. states: (edges, edge_width) of the latter; the former have none.
    """
    layers = cast(list[GatedConvolution | EdgeUpdatingConvolution], list(convolutions))
    norms = [norm for layer in layers for norm in (layer.message_norm, layer.node_norm)]
    assert all(norm.training for norm in norms), "these inputs are of a network in training mode"
    weights = [layer.weights() for layer in layers]
    nodes, moments = fused_layers(layers[0].kind, nodes, states, weights, inputs)
    update_norms(norms, moments, len(layers) * [inputs.n_bonds, inputs.n_atoms])
    return nodes


def _normalized_inputs(
    layer: GatedConvolution | EdgeUpdatingConvolution, nodes: Tensor, edges: Tensor, inputs: Inputs
) -> tuple[Tensor, Tensor]:
    """Return (filter, core) = BN(W [v_i, v_j, e_ij]), (edges, width) each; W_i v_i once per node."""
    width = nodes.shape[1]
    of_source, of_neighbor, of_edge = torch.split(layer.linear.weight, [width, width, edges.shape[1]], dim=1)
    from_sources = (nodes @ of_source.T).index_select(0, inputs.sources)
    from_neighbors = (nodes @ of_neighbor.T).index_select(0, inputs.neighbors)
    z = from_sources + from_neighbors + edges @ of_edge.T
    z = layer.message_norm(z, inputs.weights * inputs.multiplicities[inputs.sources], inputs.n_bonds)
    z_filter, z_core = z.chunk(2, dim=1)
    return z_filter, z_core
