"""Packed graphs of many crystals: built in parallel, gathered into batches without per-crystal Python.

A bond is one float32 length and an atom one byte; features are expanded inside the model. Memory grows by
10 bytes an edge, 59 a node and 8 a crystal: some 600 bytes a crystal of 12 atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled, read_only
from ..computing.processes import map_ahead
from ..computing.progress import progress_bar
from ..crystals.crystal import MAX_ATOMS, MIN_DISTANCE, Crystal, CrystalArrays, pack_crystals
from ..crystals.neighbors import Bonds, find_bonds, find_bonds_of_all
from ..crystals.orientation import N_ORDERS
from ..errors import CrystalError
from ..settings.config import GraphConfig
from .reduction import Graph, full_graph, nodes_of_atoms, reduce_graph, reduce_graphs

ALGORITHM_VERSION = 2  # raise it when the same crystal gives another graph: stored graphs are built anew
CHUNK = 1_500  # atoms a worker takes at once, or one crystal
AHEAD = 3  # parts that each worker has at most before it, at work and done
BLOCK_EDGES = 512  # edges the compiled convolution works on at once
_BIN_SHARE = 0.1000037  # of the tie tolerance: how far apart distances may lie and still be merged


Indices = NDArray[np.int64]  # row numbers of crystals


class PackedGraphs(NamedTuple):
    """The graphs of N crystals, one after the other.

    node_offsets: (N + 1,) int64; crystal k owns nodes node_offsets[k] to node_offsets[k + 1].
    edge_offsets: (nodes + 1,) int64; node i owns edges edge_offsets[i] to edge_offsets[i + 1].
    numbers: (nodes,) uint8. multiplicities: (nodes,) uint16 atoms a node stands for.
    neighbors: (edges,) uint16 node inside the crystal. distances, weights: (edges,) float32. orders:
    (nodes, N_ORDERS) float32, see crystals.orientation.
    crystals: the N crystals themselves, for what graphs do not tell and networks do not look at; None where
    nobody has given them.
    """

    node_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    numbers: NDArray[np.uint8]
    multiplicities: NDArray[np.uint16]
    neighbors: NDArray[np.uint16]
    distances: NDArray[np.float32]
    weights: NDArray[np.float32]
    orders: NDArray[np.float32]
    crystals: CrystalArrays | None

    @property
    def n_crystals(self) -> int:
        return len(self.node_offsets) - 1

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self[:-1])  # type: ignore[union-attr, misc]


class GraphBatch(NamedTuple):
    """Graphs of the crystals of one batch, ready for the model.

    node_offsets: (B + 1,) int64. edge_offsets: (nodes + 1,) int64. numbers: (nodes,) int64.
    multiplicities: (nodes,) float32. neighbors: (edges,) int32 node inside the batch.
    distances, weights: (edges,) float32. orders: (nodes, N_ORDERS) float32. blocks: (blocks + 1,) int64
    nodes at which runs of whole crystals of some BLOCK_EDGES edges begin. crystals: as in PackedGraphs; rows:
    (B,) which of them these are.
    """

    node_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    numbers: NDArray[np.int64]
    multiplicities: NDArray[np.float32]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    weights: NDArray[np.float32]
    orders: NDArray[np.float32]
    blocks: NDArray[np.int64]
    crystals: CrystalArrays | None
    rows: NDArray[np.int64]


def build_graph(crystal: Crystal, config: GraphConfig, *, reduced: bool = True) -> Graph:
    """Return the graph of one crystal, symmetry-reduced unless told otherwise."""
    bonds = find_bonds(crystal, config)
    if reduced:
        return reduce_graph(crystal.numbers, bonds, _BIN_SHARE * config.tolerance)
    return full_graph(crystal.numbers, bonds)


def nodes_of(crystal: Crystal, config: GraphConfig) -> tuple[Bonds, NDArray[np.int32]]:
    """Return the bonds of a crystal's atoms, and the node that stands for each atom in its reduced graph."""
    bonds = find_bonds(crystal, config)
    return bonds, nodes_of_atoms(crystal.numbers, bonds, _BIN_SHARE * config.tolerance)


def pack_graphs(graphs: Sequence[Graph], crystals: CrystalArrays | None = None) -> PackedGraphs:
    """Concatenate graphs of single crystals; crystals: those that the graphs are of."""
    return PackedGraphs(
        node_offsets=_offsets([len(graph.numbers) for graph in graphs]),
        edge_offsets=_offsets(np.concatenate([np.diff(graph.offsets) for graph in graphs])),
        numbers=np.concatenate([graph.numbers for graph in graphs]),
        multiplicities=np.concatenate([graph.multiplicities for graph in graphs]).astype(np.uint16),
        neighbors=np.concatenate([graph.neighbors for graph in graphs]).astype(np.uint16),
        distances=np.concatenate([graph.distances for graph in graphs]),
        weights=np.concatenate([graph.weights for graph in graphs]),
        orders=np.concatenate([graph.orders for graph in graphs]),
        crystals=crystals,
    )


def full_graphs(crystals: Sequence[Crystal], config: GraphConfig) -> PackedGraphs:
    """Build the graphs of crystals with a node for each atom, which `build_graphs` has found fit for use."""
    if not crystals:
        return pack_graphs_of_nothing()
    graphs = [build_graph(crystal, config, reduced=False) for crystal in crystals]
    return pack_graphs(graphs, pack_crystals(crystals))


def build_graphs(
    crystals: CrystalArrays | Sequence[Crystal],
    config: GraphConfig,
    ids: Sequence[str] | None = None,
    *,
    workers: int = 1,
    progress: bool = False,
) -> PackedGraphs:
    """Build the reduced graphs of all crystals on `workers` threads; the result does not depend on them.

    `ids` name crystals in errors. Raises CrystalError for overlapping atoms and for a crystal of more than
    65,535 atoms.
    """
    arrays = crystals if isinstance(crystals, CrystalArrays) else pack_crystals(crystals)
    parts: list[PackedGraphs] = []
    bar = progress_bar(doing="building graphs", unit="crystals", total=arrays.n_crystals, shown=progress)
    with bar:
        for part in graph_parts(arrays, config, lambda crystal: _name(crystal, ids), workers=workers):
            parts.append(part)
            bar.update(part.n_crystals)
    return _concatenated(parts, arrays)


def graph_parts(
    crystals: CrystalArrays, config: GraphConfig, name_of: Callable[[int], str], *, workers: int = 1
) -> Iterator[PackedGraphs]:
    """Yield the graphs that `build_graphs` returns, a few crystals at a time; memory holds a few parts.

    name_of: what a crystal is called in errors, by its number.
    """
    atom_counts = np.diff(crystals.offsets)
    if atom_counts.max(initial=0) > MAX_ATOMS:
        raise CrystalError(name_of(int(atom_counts.argmax())), f"more than {MAX_ATOMS:,} atoms")
    starts = np.searchsorted(crystals.offsets, np.arange(0, crystals.offsets[-1], CHUNK))
    cuts = np.unique(np.append(starts, crystals.n_crystals)).tolist()
    workers = max(1, workers)
    first = 0
    with ThreadPoolExecutor(workers) as pool:
        parts = (crystals.part(*bounds) for bounds in pairwise(cuts))
        for graphs in map_ahead(lambda part: pool.submit(_build_part, part, config), parts, AHEAD * workers):
            _check_graphs(graphs, first, name_of)
            first += graphs.n_crystals
            yield graphs


def gather_batch(graphs: PackedGraphs, crystals: NDArray[np.integer]) -> GraphBatch:
    """Copy the graphs of the given crystals, in that order, into one batch."""
    rows = np.asarray(crystals, dtype=np.int64)
    gathered: list[Any] = _gathered(*read_only(*graphs[:-1], rows), BLOCK_EDGES)
    return GraphBatch(*gathered, graphs.crystals, rows)  # type: ignore[call-arg]


def graphs_of(graphs: PackedGraphs, rows: Indices) -> PackedGraphs:
    """Return the graphs of some crystals, in the order of `rows`."""
    nodes = _ranges(graphs.node_offsets, rows)
    edges = _ranges(graphs.edge_offsets, nodes)
    return PackedGraphs(
        node_offsets=_offsets(np.diff(graphs.node_offsets)[rows]),
        edge_offsets=_offsets(np.diff(graphs.edge_offsets)[nodes]),
        numbers=graphs.numbers[nodes],
        multiplicities=graphs.multiplicities[nodes],
        neighbors=graphs.neighbors[edges],
        distances=graphs.distances[edges],
        weights=graphs.weights[edges],
        orders=graphs.orders[nodes],
        crystals=None if graphs.crystals is None else graphs.crystals.of(rows),
    )


def _build_part(crystals: CrystalArrays, config: GraphConfig) -> PackedGraphs:
    """Build the reduced graphs of a few crystals."""
    bonds = find_bonds_of_all(crystals, config)
    width = _BIN_SHARE * config.tolerance
    node_offsets, graph = reduce_graphs(crystals.offsets, crystals.numbers, bonds, width)
    return PackedGraphs(
        node_offsets,
        graph.offsets,
        graph.numbers,
        graph.multiplicities.astype(np.uint16),
        graph.neighbors.astype(np.uint16),
        graph.distances,
        graph.weights,
        graph.orders,
        crystals,
    )


def _ranges(offsets: NDArray[np.int64], rows: Indices) -> Indices:
    """Return the numbers from offsets[row] to offsets[row + 1] of all rows, one after the other."""
    counts = np.diff(offsets)[rows]
    ends = np.cumsum(counts)
    shifts = np.repeat(offsets[rows] - ends + counts, counts)
    return np.asarray(np.arange(len(shifts)) + shifts)


def _offsets(counts: NDArray[np.integer] | Sequence[int]) -> NDArray[np.int64]:
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _concatenated(parts: list[PackedGraphs], crystals: CrystalArrays) -> PackedGraphs:
    if not parts:
        return pack_graphs_of_nothing()
    node_counts = np.concatenate([np.diff(part.node_offsets) for part in parts])
    edge_counts = np.concatenate([np.diff(part.edge_offsets) for part in parts])
    flat = (np.concatenate(arrays) for arrays in zip(*(part[2:-1] for part in parts), strict=True))
    fields: list[Any] = [_offsets(node_counts), _offsets(edge_counts), *flat, crystals]
    return PackedGraphs(*fields)


def pack_graphs_of_nothing() -> PackedGraphs:
    """Packed graphs of no crystals."""
    zero = np.zeros(1, np.int64)
    halves, floats = np.empty(0, np.uint16), np.empty(0, np.float32)
    orders, crystals = np.empty((0, N_ORDERS), np.float32), pack_crystals([])
    return PackedGraphs(zero, zero, np.empty(0, np.uint8), halves, halves, floats, floats, orders, crystals)


def _check_graphs(graphs: PackedGraphs, first: int, name_of: Callable[[int], str]) -> None:
    """Raise CrystalError for the first crystal with overlapping atoms; first: number of the first of all."""
    overlapping = np.flatnonzero(graphs.distances < MIN_DISTANCE)
    if len(overlapping):
        node = np.searchsorted(graphs.edge_offsets, overlapping[0], side="right") - 1
        crystal = int(np.searchsorted(graphs.node_offsets, node, side="right")) - 1
        distance = graphs.distances[overlapping[0]]
        raise CrystalError(name_of(first + crystal), f"two atoms are {distance:.3f} Å apart")


def _name(crystal: int, ids: Sequence[str] | None) -> str:
    return ids[crystal] if ids is not None else f"crystal {crystal}"


@compiled
def _gathered(  # type: ignore[no-untyped-def]
    node_offsets, edge_offsets, numbers, multiplicities, neighbors, distances, weights, orders, crystals,
    block_edges,
):  # fmt: skip
    """The fields of GraphBatch for the given crystals."""
    new_node_offsets = np.zeros(len(crystals) + 1, np.int64)
    n_edges = 0
    for k in range(len(crystals)):
        start, stop = node_offsets[crystals[k]], node_offsets[crystals[k] + 1]
        new_node_offsets[k + 1] = new_node_offsets[k] + stop - start
        n_edges += edge_offsets[stop] - edge_offsets[start]
    n_nodes = new_node_offsets[-1]
    new_edge_offsets = np.zeros(n_nodes + 1, np.int64)
    new_numbers, new_multiplicities = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.float32)
    new_neighbors = np.empty(n_edges, np.int32)
    new_distances, new_weights = np.empty(n_edges, np.float32), np.empty(n_edges, np.float32)
    new_orders = np.empty((n_nodes, orders.shape[1]), np.float32)
    blocks = np.zeros(len(crystals) + 1, np.int64)
    n_blocks, block_start, new_node, new_edge = 0, 0, 0, 0
    for k in range(len(crystals)):
        base = new_node
        for node in range(node_offsets[crystals[k]], node_offsets[crystals[k] + 1]):
            new_numbers[new_node], new_multiplicities[new_node] = numbers[node], multiplicities[node]
            new_orders[new_node] = orders[node]
            for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                new_neighbors[new_edge] = base + neighbors[edge]
                new_distances[new_edge], new_weights[new_edge] = distances[edge], weights[edge]
                new_edge += 1
            new_node += 1
            new_edge_offsets[new_node] = new_edge
        if new_edge - block_start >= block_edges or k == len(crystals) - 1:
            n_blocks, block_start = n_blocks + 1, new_edge
            blocks[n_blocks] = new_node
    return (
        new_node_offsets,
        new_edge_offsets,
        new_numbers,
        new_multiplicities,
        new_neighbors,
        new_distances,
        new_weights,
        new_orders,
        blocks[: n_blocks + 1],
    )
