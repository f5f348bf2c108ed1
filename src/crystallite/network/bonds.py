"""The bonds of a batch as the compiled convolutions need them, made once for all layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.threads import for_ranges
from ..graphs.packed import BLOCK_EDGES, GraphBatch
from . import kernels


class Bonds(NamedTuple):
    """What the compiled loops need of a batch besides the node vectors; made once for all layers.

    topology: (blocks, edge_offsets, neighbors, weights, multiplicities) of the GraphBatch. first: (edges,)
    index of a bond's first Gaussian that is not zero. values: (edges, WINDOW) Gaussians from there on.
    block_weights: (blocks,) sums of weight x multiplicity over the edges of each block. block_atoms:
    (blocks,) sums of multiplicities over its nodes.
    """

    topology: tuple[NDArray[Any], ...]
    first: NDArray[np.int32]
    values: NDArray[np.float32]
    block_weights: NDArray[np.float64]
    block_atoms: NDArray[np.float64]

    @property
    def n_blocks(self) -> int:
        return len(self.block_weights)


def bonds_of_atoms(batch: GraphBatch) -> NDArray[np.float64]:
    """Return (nodes,): the number of bonds of an atom of each node, that is the sum of their weights."""
    sums: NDArray[np.float64] = np.add.reduceat(batch.weights, batch.edge_offsets[:-1], dtype=np.float64)
    return sums


def prepare_bonds(batch: GraphBatch, of_atoms: NDArray[np.float64], step: float, n_centers: int) -> Bonds:
    """Expand the bonds of a batch in Gaussians of width `step` (Å) at 0, step, 2 step, ...

    of_atoms: from `bonds_of_atoms`.
    """
    first = np.empty(len(batch.distances), np.int32)
    values = np.empty((len(batch.distances), kernels.WINDOW), np.float32)
    expanded = (batch.distances, np.float32(step), n_centers, first, values)
    for_ranges(kernels.gaussians, len(first), *expanded, least=16 * BLOCK_EDGES)
    topology = (batch.blocks, batch.edge_offsets, batch.neighbors, batch.weights, batch.multiplicities)
    block_weights = np.add.reduceat(of_atoms * batch.multiplicities, batch.blocks[:-1])
    block_atoms = np.add.reduceat(batch.multiplicities, batch.blocks[:-1], dtype=np.float64)
    return Bonds(topology, first, values, block_weights, block_atoms)
