"""Exact reduction of a crystal graph: atoms that no layer can tell apart become one node.

A message depends on (atom, neighbour, distance) only, so atoms with the same element and the same multiset
of (neighbour colour, distance, weight), refined until stable (the colour refinement of Weisfeiler and
Leman), keep equal vectors through every layer. The quotient carries their number as `multiplicity` and the
merged bonds' weight, and computes what the full graph computes. No space group is needed.

Colours are 64-bit hashes: two different colours of a crystal of n atoms collide with odds of n² / 2^65.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .neighbors import Bonds


class Graph(NamedTuple):
    """The graph of one crystal; nodes are sets of equivalent atoms.

    numbers: (nodes,) uint8. multiplicities: (nodes,) int32 atoms a node stands for.
    offsets: (nodes + 1,) int64; node i owns edges offsets[i] to offsets[i + 1].
    neighbors: (edges,) int32 node at the other end. distances: (edges,) float32 in Å.
    weights: (edges,) float32; those of a node add up to the number of neighbours.
    """

    numbers: NDArray[np.uint8]
    multiplicities: NDArray[np.int32]
    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    weights: NDArray[np.float32]


def full_graph(numbers: NDArray[np.uint8], bonds: Bonds) -> Graph:
    """Return the graph with a node an atom and an edge a bond."""
    return Graph(
        numbers,
        np.ones(len(numbers), np.int32),
        bonds.offsets,
        bonds.neighbors,
        bonds.distances.astype(np.float32),
        bonds.weights.astype(np.float32),
    )


def reduce_graph(numbers: NDArray[np.uint8], bonds: Bonds, tolerance: float) -> Graph:
    """Return the quotient of the full graph by colour refinement.

    Distances that differ by less than `tolerance` (Å) may count as equal; an edge carries the weighted mean
    distance of the bonds it stands for. Nodes and edges come in an order that does not depend on the order
    of the atoms. Cost: a sort of the bonds, once, and a pass over them for each round (3 to 5 in practice).
    """
    return Graph(*merged(numbers, bonds.offsets, bonds.neighbors, bonds.distances, bonds.weights, tolerance))


@njit(cache=True, nogil=True)
def merged(numbers, offsets, neighbors, distances, weights, tolerance):  # type: ignore[no-untyped-def]
    """The fields of the reduced Graph; see `reduce_graph`."""
    bins = _distance_bins(distances, tolerance)
    node_of, members = _color_classes(numbers, offsets, neighbors, bins, weights)
    n_nodes = len(members)
    multiplicities = np.zeros(n_nodes, np.int32)
    for node in node_of:
        multiplicities[node] += 1
    edge_offsets = np.zeros(n_nodes + 1, np.int64)
    edge_neighbors = np.empty(len(neighbors), np.int32)
    edge_distances = np.empty(len(neighbors), np.float32)
    edge_weights = np.empty(len(neighbors), np.float32)
    keys = bond_keys(node_of, offsets, neighbors, bins, n_nodes)
    edge, last_key, weight, moment = -1, np.int64(-1), 0.0, 0.0
    for bond in np.argsort(keys, kind="mergesort"):
        if keys[bond] != last_key:
            edge, last_key, weight, moment = edge + 1, keys[bond], 0.0, 0.0
        weight += weights[bond]
        moment += weights[bond] * distances[bond]
        node = last_key // ((np.int64(bins.max()) + 1) * n_nodes)
        edge_offsets[node + 1] = edge + 1
        edge_neighbors[edge] = node_of[neighbors[bond]]
        edge_distances[edge] = moment / weight
        edge_weights[edge] = weight / multiplicities[node]
    n_edges = edge + 1
    return (
        numbers[members],
        multiplicities,
        edge_offsets,
        edge_neighbors[:n_edges],
        edge_distances[:n_edges],
        edge_weights[:n_edges],
    )


@njit(cache=True, nogil=True)
def bond_keys(node_of, offsets, neighbors, bins, n_nodes):  # type: ignore[no-untyped-def]
    """One integer for (node, neighbour node, distance bin) of each bond, in that order of significance."""
    keys = np.empty(len(neighbors), np.int64)
    n_bins = np.int64(bins.max()) + 1
    for atom in range(len(offsets) - 1):
        for bond in range(offsets[atom], offsets[atom + 1]):
            pair = np.int64(node_of[atom]) * n_nodes + node_of[neighbors[bond]]
            keys[bond] = pair * n_bins + bins[bond]
    return keys


@njit(cache=True, nogil=True)
def _distance_bins(distances, tolerance):  # type: ignore[no-untyped-def]
    """Number the distances from the shortest; a bin starts where one lies beyond `tolerance` of its start."""
    bins = np.empty(len(distances), np.int32)
    bin_number, start = -1, -np.inf
    for bond in np.argsort(distances, kind="mergesort"):
        if distances[bond] - start > tolerance:
            bin_number, start = bin_number + 1, distances[bond]
        bins[bond] = bin_number
    return bins


@njit(cache=True, nogil=True)
def _color_classes(numbers, offsets, neighbors, bins, weights):  # type: ignore[no-untyped-def]
    """Refine colours until stable; return the class of each atom and one member of each class.

    Classes are ordered by colour, which depends on an atom's surroundings and not on its position in a list.
    """
    n_atoms = len(numbers)
    bond_colors = np.empty(len(neighbors), np.uint64)
    for bond in range(len(neighbors)):
        weight_code = np.uint64(np.round(weights[bond] * 1e9))
        bond_colors[bond] = _mixed(_mixed(np.uint64(bins[bond])) + weight_code)
    colors = numbers.astype(np.uint64)
    n_classes = len(np.unique(colors))
    while n_classes < n_atoms:
        refined = np.empty(n_atoms, np.uint64)
        for atom in range(n_atoms):
            surroundings = np.uint64(0)
            for bond in range(offsets[atom], offsets[atom + 1]):
                surroundings += _mixed(bond_colors[bond] ^ colors[neighbors[bond]])
            refined[atom] = _mixed(colors[atom] + _mixed(surroundings))
        n_refined = len(np.unique(refined))
        if n_refined == n_classes:
            break
        colors, n_classes = refined, n_refined
    order = np.argsort(colors, kind="mergesort")
    node_of = np.empty(n_atoms, np.int32)
    members = np.empty(n_classes, np.int32)
    node = -1
    for rank in range(n_atoms):
        atom = order[rank]
        if rank == 0 or colors[atom] != colors[order[rank - 1]]:
            node += 1
            members[node] = atom
        node_of[atom] = node
    return node_of, members


@njit(cache=True, nogil=True, inline="always")
def _mixed(value):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the finalizer of SplitMix64, Steele et al., OOPSLA 2014)."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
