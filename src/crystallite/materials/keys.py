"""Keys of materials: numbers that are equal where two crystals have the same graph, to look duplicates up by.

A crystal's graph is read by a small fixed network of sines in double precision, from elements and the
orders of bonds on: four rounds of messages, as many as the deepest usual network has, with parameters from
a formula. What it tells of a crystal, four numbers, changes smoothly with the distances, does not depend on
cell, origin, axes and order of the atoms, and differs, but for chance, where any network of that depth
could tell two graphs apart (for such networks and colour refinement see Xu et al., ICLR 2019). The numbers
are rounded to GRID and hashed with the reduced composition.

The same crystal in another cell has distances that differ in their last digits, and where a number lies at
the border of two intervals its key would be another one. So each crystal has two keys, of grids that are
half an interval apart, and two crystals are one material if either agrees. A pair whose files are rounded to
more than some 0.00001 Å is missed: it is predicted twice, where two materials taken for one would be a loss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled, read_only
from ..computing.hashing import mixed
from ..graphs.packed import PackedGraphs

GRID = 1e-5  # of numbers between -1 and 1, means over the atoms: one bond of 0.01 Å more in 300 atoms counts
N_ROUNDS = 4
N_STATES = 4  # numbers of a node, and of a crystal
_N_ELEMENTS = 128


def material_keys(graphs: PackedGraphs) -> NDArray[np.int64]:
    """Return (crystals, 2) keys; crystals that agree in either column are one material.

    Args:
        graphs: N crystals, in graphs that are reduced or not. Keys of graphs of other settings are others.

    Returns:
        (N, 2) int64. Memory and time grow with the edges: some 15 microseconds a crystal of 12 atoms.
    """
    keys = np.empty((graphs.n_crystals, 2), np.uint64)
    _fill_keys(*read_only(*graphs[:-1]), keys)
    return keys.view(np.int64)


@compiled
def _fill_keys(  # type: ignore[no-untyped-def]
    node_offsets, edge_offsets, numbers, multiplicities, neighbors, distances, weights, orders, keys
):
    shares = np.empty((orders.shape[1], N_STATES))  # of each order in each state
    for number in range(len(shares)):
        for state in range(N_STATES):
            shares[number, state] = _parameter((_N_ELEMENTS + number) * N_STATES + state)
    for crystal in range(len(keys)):
        first, last = node_offsets[crystal], node_offsets[crystal + 1]
        states = np.empty((last - first, N_STATES))
        for node in range(first, last):
            for state in range(N_STATES):
                states[node - first, state] = _parameter(numbers[node] * N_STATES + state)
                # The square of an order near zero carries rounding of 1e-14, the order itself of 1e-7.
                for number, order in enumerate(orders[node]):
                    states[node - first, state] += shares[number, state] * order * order
        updated = np.empty_like(states)
        for _ in range(N_ROUNDS):
            for node in range(first, last):
                _update(
                    node, first, edge_offsets, neighbors, distances, weights, states, updated[node - first]
                )
            states[:] = updated
        seed = _composition(numbers, multiplicities, first, last)
        described = _means(states, multiplicities, first)
        for shift in range(2):
            key = seed
            for value in described:
                key = mixed(key ^ np.uint64(np.int64(np.floor(value / GRID + 0.5 * shift))))
            keys[crystal, shift] = key


@compiled
def _update(node, first, edge_offsets, neighbors, distances, weights, states, updated):  # type: ignore[no-untyped-def]
    """The states of a node from those of its neighbours: sines of distance and state, summed by weight."""
    updated[:] = 0.0
    total = 0.0
    for edge in range(edge_offsets[node], edge_offsets[node + 1]):
        total += weights[edge]
        for state in range(N_STATES):
            phase = (1.0 + 0.5 * state) * distances[edge]  # 1 to 2.5 radians an Å
            updated[state] += weights[edge] * np.sin(phase + states[neighbors[edge], (state + 1) % N_STATES])
    for state in range(N_STATES):
        message = updated[state] / max(total, 1e-9)
        updated[state] = np.sin(2.0 * message + states[node - first, state])


@compiled
def _means(states, multiplicities, first):  # type: ignore[no-untyped-def]
    """Numbers of a crystal: means over the atoms."""
    described = np.zeros(N_STATES)
    atoms = 0.0
    for node in range(len(states)):
        atoms += multiplicities[first + node]
        for state in range(N_STATES):
            described[state] += multiplicities[first + node] * states[node, state]
    return described / atoms


@compiled
def _composition(numbers, multiplicities, first, last):  # type: ignore[no-untyped-def]
    """A hash of the smallest formula."""
    counts = np.zeros(_N_ELEMENTS, np.int64)
    for node in range(first, last):
        counts[numbers[node]] += multiplicities[node]
    divisor = np.int64(0)
    for count in counts:
        a, b = divisor, count
        while b:
            a, b = b, a % b
        divisor = a
    code = np.uint64(0)
    for number in range(_N_ELEMENTS):
        if counts[number]:
            code = mixed(code ^ np.uint64(number * 1_000_003 + counts[number] // divisor))
    return code


@compiled
def _parameter(number):  # type: ignore[no-untyped-def]
    """A fixed number between -1 and 1 for each whole number."""
    return np.float64(mixed(np.uint64(number)) >> np.uint64(11)) / 2.0**52 - 1.0
