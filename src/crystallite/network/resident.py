"""Packed graphs in the memory of a GPU, and batches gathered there, padded to shapes that many share.

Kernels that were recorded for one shape serve all batches of that shape, and nothing but row numbers travels.
Memory grows by 16 bytes an edge and 56 a node: some 2.2 KB a crystal of the article.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..graphs.packed import Indices, PackedGraphs
from .batches import Inputs

STEP = 1.125  # from one padded size to the next


class Shape(NamedTuple):
    """Numbers of crystals, nodes and edges that a padded batch has room for."""

    n_crystals: int
    n_nodes: int
    n_edges: int


class ResidentGraphs:
    """The arrays of `PackedGraphs` on one device; row `empty` is a crystal without atoms, to pad with."""

    def __init__(self, graphs: PackedGraphs, device: torch.device) -> None:
        self._node_counts = np.diff(graphs.node_offsets)
        self._edge_counts = np.diff(graphs.edge_offsets[graphs.node_offsets])
        self.empty = graphs.n_crystals
        edges_of_nodes = np.diff(graphs.edge_offsets)
        inside = np.arange(len(graphs.numbers)) - np.repeat(graphs.node_offsets[:-1], self._node_counts)

        def resident(array: np.ndarray, dtype: torch.dtype) -> Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        self.node_counts = resident(np.append(self._node_counts, 0), torch.int64)
        self.edge_counts = resident(np.append(self._edge_counts, 0), torch.int64)
        self.first_nodes = resident(graphs.node_offsets, torch.int64)
        self.first_edges = resident(graphs.edge_offsets[graphs.node_offsets], torch.int64)
        self.numbers = resident(graphs.numbers, torch.int32)
        self.multiplicities = resident(graphs.multiplicities.astype(np.float32), torch.float32)
        self.sources = resident(np.repeat(inside, edges_of_nodes), torch.int32)
        self.neighbors = resident(graphs.neighbors.astype(np.int32), torch.int32)
        self.distances = resident(graphs.distances, torch.float32)
        self.weights = resident(graphs.weights, torch.float32)
        self.orders = resident(graphs.orders, torch.float32)

    def shape(self, rows: Indices, n_crystals: int) -> Shape:
        """Return the smallest padded shape for these rows; its sizes are the dataset's means times STEP^k."""
        nodes, edges = self._node_counts, self._edge_counts
        means = n_crystals * nodes.mean(), n_crystals * edges.mean()
        excess = max(nodes[rows].sum() / means[0], edges[rows].sum() / means[1], 1e-3)
        room = STEP ** math.ceil(math.log(excess, STEP))
        n_nodes, n_edges = (math.ceil(mean * room) for mean in means)
        return Shape(n_crystals, max(n_nodes, 1), n_edges)

    def inputs(self, rows: Tensor, shape: Shape, dtype: torch.dtype) -> Inputs:
        """Return the inputs of a batch; none of its sizes depends on which rows these are.

        rows: (shape.n_crystals,) on the device, `empty` where there is none. Padding nodes stand for no atom
        and padding edges for no bond, so that no sum over the batch knows of them.
        """
        nodes, crystals, is_node, node_starts = _slots(
            self.node_counts, self.first_nodes, rows, shape.n_nodes
        )
        edges, of_edges, is_edge, _ = _slots(self.edge_counts, self.first_edges, rows, shape.n_edges)
        multiplicities = torch.where(is_node, self.multiplicities[nodes], 0).to(dtype)
        weights = torch.where(is_edge, self.weights[edges], 0).to(dtype)
        starts, last = node_starts[of_edges], shape.n_nodes - 1
        sources = torch.where(is_edge, starts + self.sources[edges], last)
        return Inputs(
            n_crystals=shape.n_crystals,
            n_atoms=multiplicities.sum(),
            n_bonds=(weights * multiplicities[sources]).sum(),
            numbers=self.numbers[nodes].long(),
            multiplicities=multiplicities,
            crystals=crystals,
            sources=sources,
            neighbors=torch.where(is_edge, starts + self.neighbors[edges], last),
            distances=self.distances[edges].to(dtype),
            weights=weights,
            orders=self.orders[nodes].to(dtype),
            bonds=None,
        )


def _slots(
    counts: Tensor, firsts: Tensor, rows: Tensor, n_slots: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lay out the nodes or edges of some crystals one after the other.

    Returns for each slot the packed node or edge in it (0 in padding), its crystal in the batch and whether
    it is in use; and for each crystal its first slot.
    """
    ends = counts[rows].cumsum(0)
    starts = ends - counts[rows]
    slots = torch.arange(n_slots, device=rows.device)
    in_use = slots < ends[-1]
    crystals = torch.searchsorted(ends, slots, right=True).clamp(max=len(rows) - 1)
    packed = torch.where(in_use, (firsts[rows] - starts)[crystals] + slots, 0)
    return packed, crystals, in_use, starts
