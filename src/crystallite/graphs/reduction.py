"""Exact reduction of a crystal graph: atoms that no layer can tell apart become one node.

A message depends on (atom, neighbour, distance) only, so atoms with the same element, the same orders and
the same multiset of (neighbour colour, distance, weight), refined until stable (the colour refinement of
Weisfeiler and Leman), keep equal vectors through every layer. The quotient carries their number as
`multiplicity` and the merged bonds' weight, and computes what the full graph computes. No space group is
needed.

Colours are 64-bit hashes: two different colours of a crystal of n atoms collide with odds of n² / 2^65.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..computing.hashing import mixed
from ..computing.sorting import ascending
from ..crystals.neighbors import Bonds

ORDER_WIDTH = 1.000037e-3  # orders that differ by less may count as equal; off the grid of round numbers


class Graph(NamedTuple):
    """The graph of one crystal, or of several one after the other; nodes are sets of equivalent atoms.

    numbers: (nodes,) uint8. multiplicities: (nodes,) int32 atoms a node stands for.
    offsets: (nodes + 1,) int64; node i owns edges offsets[i] to offsets[i + 1].
    neighbors: (edges,) int32 node of the same crystal at the other end. distances: (edges,) float32 in Å.
    weights: (edges,) float32; those of a node add up to the number of neighbours.
    orders: (nodes, N_ORDERS) float32, means over the atoms of a node.
    """

    numbers: NDArray[np.uint8]
    multiplicities: NDArray[np.int32]
    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    weights: NDArray[np.float32]
    orders: NDArray[np.float32]


def full_graph(numbers: NDArray[np.uint8], bonds: Bonds) -> Graph:
    """Return the graph with one node per atom and one edge per bond."""
    return Graph(
        numbers,
        np.ones(len(numbers), np.int32),
        bonds.offsets,
        bonds.neighbors,
        bonds.distances.astype(np.float32),
        bonds.weights.astype(np.float32),
        bonds.orders.astype(np.float32),
    )


def reduce_graph(numbers: NDArray[np.uint8], bonds: Bonds, tolerance: float) -> Graph:
    """Return the quotient of the full graph by colour refinement.

    Distances that differ by less than `tolerance` (Å) may count as equal; an edge carries the weighted
    mean distance of the bonds it stands for, a node the mean orders of its atoms. Nodes and edges come in
    an order that does not depend on the order of the atoms. Cost: a sort of the bonds, once, and a pass
    over them for each round (3 to 5 in practice).
    """
    return reduce_graphs(np.array([0, len(numbers)]), numbers, bonds, tolerance)[1]


def reduce_graphs(
    atom_offsets: NDArray[np.int64], numbers: NDArray[np.uint8], bonds: Bonds, tolerance: float
) -> tuple[NDArray[np.int64], Graph]:
    """Return the (N + 1,) node offsets of several crystals and their reduced graphs; see `reduce_graph`.

    Crystal k owns the atoms atom_offsets[k] to atom_offsets[k + 1].
    """
    n_bonds = len(bonds.distances)
    atom_offsets = atom_offsets.copy()  # one that can be written to: the loops are compiled once
    sorting = np.empty(n_bonds, np.int32), np.empty(n_bonds, np.int32)
    bins, n_bins, node_of, n_nodes = _classes(atom_offsets, numbers, bonds, tolerance, sorting)
    node_offsets = np.concatenate(([0], np.cumsum(n_nodes)))
    nodes = node_of + np.repeat(node_offsets[:-1], np.diff(atom_offsets))
    multiplicities = np.bincount(nodes, minlength=node_offsets[-1]).astype(np.int32)
    node_numbers = np.empty(len(multiplicities), np.uint8)
    node_numbers[nodes] = numbers

    edge_offsets = np.zeros(len(multiplicities) + 1, np.int64)
    edges: tuple[Any, ...] = (
        np.empty(n_bonds, np.int32), np.empty(n_bonds, np.float32), np.empty(n_bonds, np.float32),
    )  # fmt: skip
    classes = node_offsets, node_of, multiplicities
    n_edges = _merge(atom_offsets, *bonds[:-1], bins, n_bins, *sorting, *classes, edge_offsets, *edges)
    neighbors, distances, weights = (array[:n_edges].copy() for array in edges)
    orders = _means(bonds.orders, nodes, multiplicities)
    nodes_and_edges = node_numbers, multiplicities, edge_offsets, neighbors, distances, weights, orders
    return node_offsets, Graph(*nodes_and_edges)


def nodes_of_atoms(numbers: NDArray[np.uint8], bonds: Bonds, tolerance: float) -> NDArray[np.int32]:
    """Return (atoms,) the node of the reduced graph that stands for each atom of one crystal."""
    n_bonds = len(bonds.distances)
    sorting = np.empty(n_bonds, np.int32), np.empty(n_bonds, np.int32)
    return _classes(np.array([0, len(numbers)]), numbers, bonds, tolerance, sorting)[2]


def _means(
    orders: NDArray[np.float64], nodes: NDArray[np.integer], multiplicities: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return (nodes, N_ORDERS) the means over the atoms of each node."""
    sums = np.zeros((len(multiplicities), orders.shape[1]))
    _add_rows(orders, nodes, sums)
    means: NDArray[np.float32] = (sums / multiplicities[:, None]).astype(np.float32)
    return means


def _classes(
    atom_offsets: NDArray[np.int64],
    numbers: NDArray[np.uint8],
    bonds: Bonds,
    tolerance: float,
    sorting: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64]]:
    """Return numbers of distances by bond, how many by crystal; nodes by atom, how many by crystal."""
    n_bonds, n_crystals = len(bonds.distances), len(atom_offsets) - 1
    bins, n_bins = np.empty(n_bonds, np.uint64), np.empty(n_crystals, np.uint64)
    bits = bonds.distances.view(np.uint64)  # those of positive numbers come in the order of the numbers
    _number_distances(atom_offsets, *bonds[:-1], bits, float(tolerance), *sorting, bins, n_bins)
    colors, node_of = numbers.astype(np.uint64), np.empty(len(numbers), np.int32)
    n_nodes = n_bins.astype(np.int64)
    bits_of_orders = np.ascontiguousarray(bonds.orders.T).view(np.uint64)
    working = colors, colors.copy(), *sorting, node_of, node_of.copy()
    _classify(atom_offsets, *bonds, bits_of_orders, bins, *working, n_nodes)
    return bins, n_bins, node_of, n_nodes


@compiled
def _add_rows(rows, places, sums):  # type: ignore[no-untyped-def]
    """Add each row to the sum at its place."""
    for row in range(len(rows)):
        sums[places[row]] += rows[row]


@compiled
def _number_distances(  # type: ignore[no-untyped-def]
    atom_offsets, offsets, neighbors, distances, weights, bits, tolerance, order, scratch, bins, n_bins
):
    """Sort each crystal's distances into bins that are `tolerance` wide, numbered from the shortest.

    bits: of the distances, as integers.
    """
    for crystal in range(len(n_bins)):
        first, last = offsets[atom_offsets[crystal]], offsets[atom_offsets[crystal + 1]]
        ascending(bits, first, last, order, scratch)
        count, start = 0, -np.inf
        for position in range(first, last):
            bond = order[position]
            if distances[bond] - start > tolerance:
                count, start = count + 1, distances[bond]
            bins[bond] = count - 1
        n_bins[crystal] = count


@compiled
def _classify(  # type: ignore[no-untyped-def]
    atom_offsets, offsets, neighbors, distances, weights, orders, bits_of_orders, bins,
    colors, refined, order, scratch, node_of, refined_node_of, n_nodes,
):  # fmt: skip
    """Refine the colours of each crystal until stable; number the classes of atoms of equal colour.

    First by the surroundings, then by orders where they tell atoms of a class apart, and so on. Classes are
    ordered by colour, which depends on an atom's surroundings and not on its position in a list.
    """
    for crystal in range(len(n_nodes)):
        first, last = atom_offsets[crystal], atom_offsets[crystal + 1]
        count = _number_colors(colors, first, last, order, scratch, node_of)
        is_split = True
        while is_split and count < last - first:
            count = _refine(
                first, last, offsets, neighbors, weights, bins,
                colors, refined, order, scratch, node_of, refined_node_of, count,
            )  # fmt: skip
            is_split = _split_by_orders(
                first, last, orders, bits_of_orders, colors, order, scratch, node_of, count
            )
            if is_split:
                count = _number_colors(colors, first, last, order, scratch, node_of)
        n_nodes[crystal] = count


@compiled
def _refine(  # type: ignore[no-untyped-def]
    first, last, offsets, neighbors, weights, bins,
    colors, refined, order, scratch, node_of, refined_node_of, count,
):  # fmt: skip
    """Refine the colours of a crystal's atoms by those of their neighbours until stable; return how many."""
    while count < last - first:
        for atom in range(first, last):
            surroundings = np.uint64(0)
            for bond in range(offsets[atom], offsets[atom + 1]):
                weight_code = np.uint64(np.rint(weights[bond] * 1e9))
                bond_color = mixed(mixed(bins[bond]) + weight_code)
                surroundings += mixed(bond_color ^ colors[first + neighbors[bond]])
            refined[atom] = mixed(colors[atom] + mixed(surroundings))
        n_refined = _number_colors(refined, first, last, order, scratch, refined_node_of)
        if n_refined == count:
            break
        count = n_refined
        for atom in range(first, last):
            colors[atom], node_of[atom] = refined[atom], refined_node_of[atom]
    return count


@compiled
def _split_by_orders(  # type: ignore[no-untyped-def]
    first, last, orders, bits, colors, order, scratch, node_of, count
):
    """Give atoms of a class other colours where an order differs by more than ORDER_WIDTH.

    bits: (N_ORDERS, atoms) of the orders, as integers. Returns whether there are such atoms: few crystals
    have them.
    """
    lowest, highest, numbers = np.empty(count), np.empty(count), np.empty(count, np.uint64)
    is_split = False
    for column in range(len(bits)):
        lowest[:], highest[:] = np.inf, -np.inf
        for atom in range(first, last):
            node, value = node_of[atom], orders[atom, column]
            lowest[node], highest[node] = min(lowest[node], value), max(highest[node], value)
        if (highest - lowest).max() <= ORDER_WIDTH:
            continue
        is_split = True
        ascending(bits[column], first, last, order, scratch)
        lowest[:], numbers[:] = -np.inf, 0
        for position in range(first, last):
            atom = order[position]
            node, value = node_of[atom], orders[atom, column]
            if value - lowest[node] > ORDER_WIDTH:
                lowest[node], numbers[node] = value, numbers[node] + np.uint64(1)
            colors[atom] = mixed(colors[atom] + mixed(numbers[node]))
    return is_split


@compiled
def _number_colors(colors, first, last, order, scratch, node_of):  # type: ignore[no-untyped-def]
    """Number the colours of the atoms first to last from the smallest on; return how many there are."""
    ascending(colors, first, last, order, scratch)
    count = 0
    for position in range(first, last):
        if position > first and colors[order[position]] != colors[order[position - 1]]:
            count += 1
        node_of[order[position]] = count
    return count + 1


@compiled
def _merge(  # type: ignore[no-untyped-def]
    atom_offsets, offsets, neighbors, distances, weights, bins, n_bins, order, scratch,
    node_offsets, node_of, multiplicities, edge_offsets, edge_neighbors, edge_distances, edge_weights,
):  # fmt: skip
    """Merge bonds of equal (node, neighbour node, distance bin); return the number of edges."""
    n_edges = 0
    for crystal in range(len(n_bins)):
        first, last, node = atom_offsets[crystal], atom_offsets[crystal + 1], node_offsets[crystal]
        n_nodes = np.uint64(node_offsets[crystal + 1] - node)
        for atom in range(first, last):
            for bond in range(offsets[atom], offsets[atom + 1]):
                pair = np.uint64(node_of[atom]) * n_nodes + np.uint64(node_of[first + neighbors[bond]])
                bins[bond] += pair * n_bins[crystal]  # from now on the bond's key
        ascending(bins, offsets[first], offsets[last], order, scratch)
        width = n_nodes * n_bins[crystal]
        for position in range(offsets[first], offsets[last]):
            bond = order[position]
            if position == offsets[first] or bins[bond] != bins[order[position - 1]]:
                n_edges, weight, moment = n_edges + 1, 0.0, 0.0
                node = node_offsets[crystal] + np.int64(bins[bond] // width)
                edge_offsets[node + 1] = n_edges
                edge_neighbors[n_edges - 1] = node_of[first + neighbors[bond]]
            weight += weights[bond]
            moment += weights[bond] * distances[bond]
            edge_distances[n_edges - 1] = moment / weight
            edge_weights[n_edges - 1] = weight / multiplicities[node]
    return n_edges
