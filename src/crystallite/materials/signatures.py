"""What tells materials apart: sorted bond lengths, averaged over the atoms of each element.

Unlike anything that counts bonds, they change continuously when atoms move: a shell of equally distant
neighbours that is cut at the twelfth loses and gains bonds of one length. The averages of sorted distances
are the average minimum distances of Widdowson et al. (MATCH Commun. Math. Comput. Chem. 87, 529, 2022), here
of each element.

Memory grows by 12 bytes a crystal, and the reduced formulas: crystals are compared in full, with a kilobyte
each, only where formulas and mean lengths agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled, read_only
from ..computing.sorting import ascending
from ..graphs.packed import GraphBatch, Indices, PackedGraphs, gather_batch
from ..settings.config import GraphConfig

N_NEIGHBORS = GraphConfig().n_neighbors
SAME_DISTANCE = 0.01  # Å; twins are crystals whose sorted bond lengths differ by no more on average
_CHUNK = 4096  # crystals worked on at once


class Signatures(NamedTuple):
    """What tells most materials apart, of N crystals; those that agree in it are compared in full.

    formulas: keys of the reduced formulas there are. compositions: (N,) which of them is a crystal's. means:
    (N,) mean over its elements of their sorted bond lengths in Å. graphs: of the crystals, default settings.
    """

    formulas: list[bytes]
    compositions: NDArray[np.int32]
    means: NDArray[np.float64]
    graphs: PackedGraphs


def material_signatures(graphs: PackedGraphs) -> Signatures:
    """Return the signatures of all crystals; graphs: with the default settings."""
    formulas: dict[bytes, int] = {}
    compositions = np.empty(graphs.n_crystals, np.int32)
    means = np.empty(graphs.n_crystals)
    for first in range(0, graphs.n_crystals, _CHUNK):
        rows = np.arange(first, min(first + _CHUNK, graphs.n_crystals))
        species = _species(gather_batch(graphs, rows))
        keys = _formulas(species)
        compositions[rows] = [formulas.setdefault(key, len(formulas)) for key in keys]
        means[rows] = _means(species)
    return Signatures(list(formulas), compositions, means, graphs)


def _runs(signatures: Signatures) -> Iterator[Indices]:
    """Yield rows of crystals that may be one material: same formula, mean lengths without a gap, in order."""
    order = np.lexsort((signatures.means, signatures.compositions))
    compositions, means = signatures.compositions[order], signatures.means[order]
    together = np.diff(compositions) == 0
    together &= means[1:] <= means[:-1] + SAME_DISTANCE
    edges = np.diff(np.concatenate([[0], together, [0]]).astype(np.int8))
    for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        yield order[first : last + 1]


def _blocks(runs: Iterable[Indices]) -> Iterator[list[Indices]]:
    """Yield runs together, as many as _CHUNK crystals hold, or one that is longer."""
    block: list[Indices] = []
    for run in runs:
        if block and sum(map(len, block)) + len(run) > _CHUNK:
            yield block
            block = []
        block.append(run)
    if block:
        yield block


class _Species(NamedTuple):
    """The elements of each crystal of a batch, one after the other, S in all.

    bounds: (B + 1,) first of each crystal. elements: (S,). atoms: (S,) numbers of atoms. lengths: (S, 12) in
    Å, the mean over an element's atoms of the distance of the first, second, ... twelfth neighbour. depths:
    (sum of elements²,) as `in_full` says.
    """

    bounds: Indices
    elements: Indices
    atoms: NDArray[np.float64]
    lengths: NDArray[np.float64]
    depths: NDArray[np.float64]


def _species(batch: GraphBatch) -> _Species:
    """Return the elements of the crystals of a batch."""
    n_crystals = len(batch.node_offsets) - 1
    crystals = np.repeat(np.arange(n_crystals), np.diff(batch.node_offsets))
    keys, species = np.unique(crystals * 128 + batch.numbers, return_inverse=True)
    atoms = np.bincount(species, batch.multiplicities).astype(np.float64)
    sources = np.repeat(np.arange(len(batch.numbers)), np.diff(batch.edge_offsets))
    sorted_lengths = _sorted_lengths(batch)
    fractions = batch.multiplicities / atoms[species]
    columns = [np.bincount(species, fractions * column) for column in sorted_lengths.T]
    lengths: NDArray[np.float64] = np.stack(columns, axis=1)
    bounds = np.searchsorted(keys, np.arange(n_crystals + 1) * 128)
    depths = _depths(batch, crystals, sources, species, fractions, sorted_lengths[:, -1], bounds)
    return _Species(bounds, keys % 128, atoms, lengths, depths)


def in_full(
    signatures: Signatures,
) -> Iterator[tuple[Indices, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the rows of each run, and lengths and depths of its crystals, a row for each.

    Lengths are those of `_Species`; depths, (elements x elements), in Å are the mean over the atoms of one
    element of the sum over bonds to the other of how much shorter each is than the twelfth. They tell how
    elements are arranged, and bonds in a shell that is cut add nothing.
    """
    for block in _blocks(_runs(signatures)):
        rows = np.concatenate(block)
        parts = [rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK)]
        species = [_species(gather_batch(signatures.graphs, part)) for part in parts]
        widths = np.concatenate([np.diff(part.bounds) for part in species])
        lengths = np.concatenate([part.lengths.ravel() for part in species])
        depths = np.concatenate([part.depths for part in species])
        crystals = np.cumsum([0, *map(len, block)])
        of_lengths, of_depths = (
            np.concatenate([[0], np.cumsum(sizes)])[crystals] for sizes in (widths * N_NEIGHBORS, widths**2)
        )
        for k, run in enumerate(block):
            yield (
                run,
                lengths[of_lengths[k] : of_lengths[k + 1]].reshape(len(run), -1),
                depths[of_depths[k] : of_depths[k + 1]].reshape(len(run), -1),
            )


def _means(species: _Species) -> NDArray[np.float64]:
    """Return (B,) the mean length of each crystal, added up in the order of its numbers."""
    n_elements = np.diff(species.bounds)
    means = np.empty(len(n_elements))
    for width in np.unique(n_elements):
        chosen = np.flatnonzero(n_elements == width)
        rows = species.bounds[chosen][:, None] + np.arange(width)
        means[chosen] = species.lengths[rows].reshape(len(chosen), -1).mean(axis=1)
    return means


def _formulas(species: _Species) -> list[bytes]:
    """Return the key of each crystal's reduced formula: elements, and how many of each."""
    counts = species.atoms.astype(np.int64)
    if not len(counts):
        return []
    divisors = np.gcd.reduceat(counts, species.bounds[:-1])
    counts //= np.repeat(divisors, np.diff(species.bounds))
    elements, amounts = (np.ascontiguousarray(a, np.int64).tobytes() for a in (species.elements, counts))
    spans = [slice(8 * first, 8 * last) for first, last in pairwise(species.bounds.tolist())]
    return [elements[span] + amounts[span] for span in spans]


def _sorted_lengths(batch: GraphBatch) -> NDArray[np.float64]:
    """Return (nodes, 12): the distance in Å of each node's first, second, ... twelfth neighbour."""
    keys = np.ascontiguousarray(batch.distances).view(np.uint32).astype(np.uint64)
    given = read_only(batch.edge_offsets, batch.distances, batch.weights)
    lengths: NDArray[np.float64] = _lengths(*given, keys, N_NEIGHBORS)
    return lengths


@compiled
def _lengths(edge_offsets, distances, weights, keys, n_neighbors):  # type: ignore[no-untyped-def]
    """`_sorted_lengths`; keys: bits of the distances, which order as they do."""
    lengths = np.empty((len(edge_offsets) - 1, n_neighbors))
    order, scratch = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    for node in range(len(edge_offsets) - 1):
        start, stop = edge_offsets[node], edge_offsets[node + 1]
        ascending(keys, start, stop, order, scratch)
        reached, place = np.float64(weights[order[start]]), start
        for k in range(n_neighbors):  # the weights of a node add up to n_neighbors
            while reached < k + 0.5 and place < stop - 1:
                place += 1
                reached += weights[order[place]]
            lengths[node, k] = distances[order[place]]
    return lengths


def _depths(
    batch: GraphBatch,
    crystals: Indices,
    sources: Indices,
    species: Indices,
    fractions: NDArray[np.float64],
    last: NDArray[np.float64],
    bounds: Indices,
) -> NDArray[np.float64]:
    """Return `_Species.depths`.

    crystals: (nodes,). sources: (edges,). species: (nodes,) number of (crystal, element). bounds: the first
    species of each crystal. last: (nodes,) distance of the twelfth neighbour.
    """
    of_edges = crystals[sources]
    n_elements = np.diff(bounds)
    firsts = np.concatenate([[0], np.cumsum(n_elements**2)])
    row, column = (species[nodes] - bounds[of_edges] for nodes in (sources, batch.neighbors))
    cells = firsts[of_edges] + row * n_elements[of_edges] + column
    amounts = batch.weights * fractions[sources] * np.maximum(last[sources] - batch.distances, 0)
    return np.bincount(cells, amounts, minlength=firsts[-1]).astype(np.float64)
