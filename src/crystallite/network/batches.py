"""From rows of packed graphs to the inputs of a network, wherever that is.

On the processor compiled code gathers a batch. A GPU keeps all graphs in its own memory, about 1 KB a crystal
of 12 atoms, and gathers by itself: a step sends it row numbers and no graphs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..graphs.packed import Indices, PackedGraphs, gather_batch
from .model import CrystalNetwork, Inputs


class ResidentGraphs:
    """Packed graphs in the memory of the device of `like`, floats in its precision.

    packed: the same in the processor's memory, for sizes.
    """

    def __init__(self, packed: PackedGraphs, like: Tensor) -> None:
        def resident(array: np.ndarray, dtype: torch.dtype = torch.int64) -> Tensor:
            wide = np.ascontiguousarray(array).astype(np.int64 if dtype == torch.int64 else array.dtype)
            return torch.from_numpy(wide).to(like.device, dtype)

        self.packed = packed
        self.node_offsets, self.edge_offsets = resident(packed.node_offsets), resident(packed.edge_offsets)
        self.numbers, self.neighbors = resident(packed.numbers), resident(packed.neighbors)
        self.multiplicities = resident(packed.multiplicities.astype(np.float32), like.dtype)
        self.distances, self.weights = (resident(x, like.dtype) for x in (packed.distances, packed.weights))
        self._n_nodes = np.diff(packed.node_offsets)
        self._n_edges = np.diff(packed.edge_offsets[packed.node_offsets])
        bonds = np.add.reduceat(packed.weights, packed.edge_offsets[:-1], dtype=np.float64)
        first = packed.node_offsets[:-1]
        self._n_atoms = np.add.reduceat(packed.multiplicities, first, dtype=np.float64)
        self._n_bonds = np.add.reduceat(bonds * packed.multiplicities, first)

    def inputs(self, rows: Indices) -> Inputs:
        """Gather the graphs of some rows; the sizes are known here, so the device is never waited for."""
        device = self.numbers.device
        crystals = torch.from_numpy(rows).to(device)
        n_nodes, n_edges = int(self._n_nodes[rows].sum()), int(self._n_edges[rows].sum())
        nodes, crystal_of_node, first_nodes = _ranges(self.node_offsets, crystals, n_nodes)
        edges, sources, _ = _ranges(self.edge_offsets, nodes, n_edges)
        return Inputs(
            n_crystals=len(rows),
            n_atoms=float(self._n_atoms[rows].sum()),
            n_bonds=float(self._n_bonds[rows].sum()),
            numbers=self.numbers[nodes],
            multiplicities=self.multiplicities[nodes],
            crystals=crystal_of_node,
            sources=sources,
            neighbors=first_nodes[crystal_of_node[sources]] + self.neighbors[edges],
            distances=self.distances[edges],
            weights=self.weights[edges],
            bonds=None,
        )


Graphs = PackedGraphs | ResidentGraphs


def placed(graphs: PackedGraphs, network: CrystalNetwork) -> Graphs:
    """Return the graphs where the network can gather them fastest."""
    weight = network.embedding.weight
    return graphs if weight.device.type == "cpu" else ResidentGraphs(graphs, weight)


def batch_inputs(network: CrystalNetwork, graphs: Graphs, rows: Indices) -> Inputs:
    """Return the inputs of some rows as one batch."""
    if isinstance(graphs, ResidentGraphs):
        return graphs.inputs(rows)
    return network.inputs(gather_batch(graphs, rows))


def _ranges(offsets: Tensor, items: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Join the ranges offsets[i] to offsets[i + 1] of some items.

    Returns the (total,) members of the ranges, the position in `items` each belongs to, and the (items,)
    positions at which the ranges begin in the joined one.
    """
    starts = offsets[items]
    counts = offsets[items + 1] - starts
    firsts = counts.cumsum(0) - counts
    positions = torch.arange(len(items), device=items.device)
    owners = torch.repeat_interleave(positions, counts, output_size=total)
    members = torch.arange(total, device=items.device) + (starts - firsts)[owners]
    return members, owners, firsts
