"""The whole network (Xie and Grossman, PRL 120, 145301, 2018), on weighted, reduced graphs.

Every sum over atoms or bonds of the full graph is a weighted sum over nodes or edges here, batch norms and
pooling included, so a reduced graph gives the numbers the full graph gives.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, log_softmax, softplus

from ..computing.devices import standard_tensors
from ..crystals.elements import feature_table
from ..settings.config import ModelConfig
from .batch_norm import WeightedBatchNorm
from .batches import Inputs
from .convolution import Bonds, gated_messages, gated_messages_with


class GatedConvolution(nn.Module):
    """v_i <- softplus(v_i + BN(sum_j w_ij sigmoid(z_filter) softplus(z_core))), paper eq. 5.

    z = BN(W [v_i, v_j, u_ij]), split in half as (filter, core).
    """

    def __init__(self, width: int, n_centers: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + n_centers, 2 * width, bias=False)
        self.message_norm = WeightedBatchNorm(2 * width)
        self.node_norm = WeightedBatchNorm(width)

    def forward(self, nodes: Tensor, inputs: Inputs, expanded: Tensor | None) -> Tensor:
        """nodes: (nodes, width). expanded: (edges, centres) Gaussians, where the fused path does not run."""
        if inputs.bonds is None:
            assert expanded is not None
            messages = self._messages(nodes, inputs, expanded)
        else:
            messages = self._fused_messages(nodes, inputs.bonds, inputs.n_bonds)
        return softplus(nodes + self.node_norm(messages, inputs.multiplicities, inputs.n_atoms))

    def _fused_messages(self, nodes: Tensor, bonds: Bonds, n_bonds: float) -> Tensor:
        norm = self.message_norm
        if not self.training:
            return gated_messages_with(nodes, self.linear.weight, *norm.affine_map(), bonds)
        messages, moments = gated_messages(
            nodes, self.linear.weight, norm.weight, norm.bias, bonds, n_bonds, norm.eps
        )
        norm.update(moments, n_bonds)
        return messages

    def _messages(self, nodes: Tensor, inputs: Inputs, expanded: Tensor) -> Tensor:
        """The same in plain tensor operations: any device, any precision, and the fused path's reference."""
        width = nodes.shape[1]
        of_source, of_neighbor, of_bond = torch.split(
            self.linear.weight, [width, width, expanded.shape[1]], dim=1
        )
        z = (
            (nodes @ of_source.T)[inputs.sources]
            + (nodes @ of_neighbor.T)[inputs.neighbors]
            + expanded @ of_bond.T
        )
        z = self.message_norm(z, inputs.weights * inputs.multiplicities[inputs.sources], inputs.n_bonds)
        z_filter, z_core = z.chunk(2, dim=1)
        messages = inputs.weights.unsqueeze(1) * torch.sigmoid(z_filter) * softplus(z_core)
        return torch.zeros_like(nodes).index_add(0, inputs.sources, messages)


class PlainConvolution(nn.Module):
    """v_i <- softplus(W_c sum_j w_ij [v_j, u_ij] + W_s v_i + b), paper eq. 4: all neighbours count alike."""

    def __init__(self, width: int, n_centers: int) -> None:
        super().__init__()
        self.of_neighbors = nn.Linear(width + n_centers, width, bias=False)
        self.of_self = nn.Linear(width, width)

    def forward(self, nodes: Tensor, inputs: Inputs, expanded: Tensor | None) -> Tensor:
        """Shapes as in GatedConvolution."""
        assert expanded is not None
        bonds = inputs.weights.unsqueeze(1) * torch.cat((nodes[inputs.neighbors], expanded), dim=1)
        sums = nodes.new_zeros(len(nodes), bonds.shape[1]).index_add(0, inputs.sources, bonds)
        return softplus(self.of_neighbors(sums) + self.of_self(nodes))


class CrystalNetwork(nn.Module):
    """Embedding, convolutions, pooling and the layers after it."""

    element_features: Tensor
    centers: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        with standard_tensors():
            self._build(config)

    def _build(self, config: ModelConfig) -> None:
        table = torch.from_numpy(feature_table().copy()).float()
        self.register_buffer("element_features", table)
        n_centers = config.n_centers
        self.register_buffer("centers", torch.arange(n_centers) * config.gaussian_step, persistent=False)
        self.embedding = nn.Linear(table.shape[1], config.atom_width)
        layer = GatedConvolution if config.convolution == "gated" else PlainConvolution
        self.convolutions = nn.ModuleList(
            layer(config.atom_width, n_centers) for _ in range(config.n_convolutions)
        )
        n_hidden = config.n_hidden if config.readout == "pooled" else 0
        widths = [config.atom_width] + n_hidden * [config.hidden_width]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout if config.task == "classification" else 0.0)
        self.output = nn.Linear(widths[-1], config.n_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return (crystals, outputs): values on the normalised scale, or log-probabilities of classes.

        In training, batch norms see the batches of all processes: call it in all of them.
        """
        if self.config.readout == "per-atom":
            x = self._mean_over_atoms(self.contributions(inputs), inputs)
        else:
            x = softplus(self._mean_over_atoms(self.atoms(inputs), inputs))
            for layer in self.hidden:
                x = softplus(layer(x))
            x = self.output(self.dropout(x))
        return log_softmax(x, dim=1) if self.config.task == "classification" else x

    def contributions(self, inputs: Inputs) -> Tensor:
        """Return (nodes, outputs): what each atom adds to the mean, for the per-atom readout."""
        contributions: Tensor = self.output(self.dropout(self.atoms(inputs)))
        return contributions

    def _mean_over_atoms(self, nodes: Tensor, inputs: Inputs) -> Tensor:
        """(nodes, channels) -> (crystals, channels): the mean over each crystal's atoms."""
        nodes = nodes.mul(inputs.multiplicities.unsqueeze(1))
        sums = nodes.new_zeros(inputs.n_crystals, nodes.shape[1]).index_add(0, inputs.crystals, nodes)
        counts = sums.new_zeros(inputs.n_crystals).index_add(0, inputs.crystals, inputs.multiplicities)
        return sums / counts.unsqueeze(1)

    def atoms(self, inputs: Inputs) -> Tensor:
        """Return (nodes, atom_width): the vectors of the nodes after the last convolution."""
        table = self.element_features @ self.embedding.weight.T + self.embedding.bias
        nodes = embedding(inputs.numbers, table)
        expanded = None if inputs.bonds is not None else self._expanded(inputs.distances)
        for convolution in self.convolutions:
            nodes = convolution(nodes, inputs, expanded)
        return nodes

    def _expanded(self, distances: Tensor) -> Tensor:
        """(edges, centres) Gaussians of unit height; tails below 1e-17 are exactly zero, never denormal."""
        x = (distances.unsqueeze(1) - self.centers) / self.config.gaussian_step
        square = x.square()
        return torch.where(square < 39.1, torch.exp(-square), 0.0)
