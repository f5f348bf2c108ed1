"""The whole network (Xie and Grossman, PRL 120, 145301, 2018), on weighted, reduced graphs.

Every sum over atoms or bonds of the full graph is a weighted sum over nodes or edges here, batch norms and
pooling included, so a reduced graph gives the numbers the full graph gives.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, log_softmax, silu, softplus

from ..computing.devices import standard_tensors
from ..crystals.elements import feature_table
from ..crystals.orientation import N_ORDERS
from ..settings.config import ModelConfig
from .batches import Inputs
from .convolutions import (
    EdgeUpdatingConvolution,
    GatedConvolution,
    PlainConvolution,
    fused_convolutions,
)
from .edge_states import first_states


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
        self.order_hidden, self.order_output = None, None
        if config.angles == "orders":
            self.order_hidden = nn.Linear(N_ORDERS, config.atom_width)
            self.order_output = nn.Linear(config.atom_width, config.atom_width)
        self.convolutions = nn.ModuleList(self._layer(config, k) for k in range(config.n_convolutions))
        updates_edges = config.convolution == "edge-updating"
        self.edge_embedding = nn.Linear(n_centers, config.edge_width, bias=False) if updates_edges else None
        self.activation = silu if updates_edges else softplus
        n_hidden = config.n_hidden if config.readout == "pooled" else 0
        widths = [config.atom_width] + n_hidden * [config.hidden_width]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout if config.task == "classification" else 0.0)
        self.output = nn.Linear(widths[-1], config.n_outputs)

    @staticmethod
    def _layer(config: ModelConfig, number: int) -> nn.Module:
        if config.convolution == "edge-updating":
            is_last = number == config.n_convolutions - 1
            return EdgeUpdatingConvolution(config.atom_width, config.edge_width, not is_last)
        layer = GatedConvolution if config.convolution == "gated" else PlainConvolution
        return layer(config.atom_width, config.n_centers)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return (crystals, outputs): values on the normalised scale, or log-probabilities of classes.

        In training, batch norms see the batches of all processes: call it in all of them.
        """
        return self._read_out(self.atoms(inputs), inputs)

    def outputs_and_embedding(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and (crystals, atom_width): the mean of each crystal's atoms."""
        nodes = self.atoms(inputs)
        return self._read_out(nodes, inputs), self._mean_over_atoms(nodes, inputs)

    def _read_out(self, nodes: Tensor, inputs: Inputs) -> Tensor:
        """Return (crystals, outputs) of the vectors of the nodes."""
        if self.config.readout == "per-atom":
            x = self._mean_over_atoms(self.output(self.dropout(nodes)), inputs)
        else:
            x = self._mean_over_atoms(nodes, inputs)
            x = x if self.edge_embedding is not None else softplus(x)
            for layer in self.hidden:
                x = self.activation(layer(x))
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
        return sums / counts.clamp(min=1).unsqueeze(1)  # 0 where a batch is padded

    def atoms(self, inputs: Inputs) -> Tensor:
        """Return (nodes, atom_width): the vectors of the nodes after the last convolution."""
        table = self.element_features @ self.embedding.weight.T + self.embedding.bias
        nodes = embedding(inputs.numbers, table)
        if self.order_hidden is not None and self.order_output is not None:
            nodes = nodes + self.order_output(silu(self.order_hidden(inputs.orders)))
        if inputs.bonds is not None:
            weight = None if self.edge_embedding is None else self.edge_embedding.weight
            states = None if weight is None else first_states(weight, inputs.bonds)
            return fused_convolutions(self.convolutions, nodes, states, inputs)
        edges = self._expanded(inputs.distances)
        if self.edge_embedding is not None:
            edges = silu(self.edge_embedding(edges))
        for convolution in self.convolutions:
            nodes, edges = convolution(nodes, edges, inputs)
        return nodes

    def _expanded(self, distances: Tensor) -> Tensor:
        """(edges, centres) Gaussians of unit height; tails below 1e-17 are exactly zero, never denormal."""
        x = (distances.unsqueeze(1) - self.centers) / self.config.gaussian_step
        square = x.square()
        return torch.where(square < 39.1, torch.exp(-square), 0.0)
