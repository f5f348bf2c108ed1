"""Which crystals are the same material, however they are written down.

A material's signature is made of sorted bond lengths, averaged over the atoms of each element. Unlike
anything that counts bonds, it changes continuously when atoms move: a shell of equally distant neighbours
that is cut at the twelfth loses and gains bonds of one length. The averages of sorted distances are the
average minimum distances of Widdowson et al. (MATCH Commun. Math. Comput. Chem. 87, 529, 2022), here of each
element.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..datasets.schema import as_numpy
from ..graphs.packed import GraphBatch, Indices, PackedGraphs, gather_batch
from ..settings.config import GraphConfig

N_NEIGHBORS = GraphConfig().n_neighbors
SAME_DISTANCE = 0.01  # Å; twins are crystals whose sorted bond lengths differ by no more on average
_SAME_DEPTH = N_NEIGHBORS * 2 * SAME_DISTANCE  # Å; that many bonds, each end of a difference off by that much
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


class Seen(NamedTuple):
    """Hashes (`material_hashes`, flat) of the materials that a model was trained on, and chosen by."""

    training: Indices
    validation: Indices


def material_groups(ids: Sequence[str], graphs: PackedGraphs) -> Indices:
    """Return (N,) group numbers: equal for the same id, or the same composition and bond lengths.

    graphs: with the default settings. Crystals whose sorted bond lengths differ by at most 0.01 Å on average
    are in one group, and so is every copy of a crystal whose bonds changed by no more than that, whatever its
    cell, origin, axes and order of the atoms.
    Cost: linear in edges; of each composition, sorting, and the pairs whose mean bond lengths agree.
    """
    return groups_of(ids, material_signatures(graphs))


def groups_of(ids: Sequence[str], signatures: Signatures) -> Indices:
    """Return what `material_groups` does, of signatures at hand."""
    codes = as_numpy(pa.array(ids, pa.string()).dictionary_encode().indices)
    parents = np.unique(codes, return_index=True)[1][codes]  # the first row of the same id
    for run, lengths, depths in _in_full(signatures):
        for a, b in _twins(lengths, depths):
            _unite(parents, int(run[a]), int(run[b]))
    while not np.array_equal(parents, roots := parents[parents]):
        parents = roots
    return np.unique(parents, return_inverse=True)[1]


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


def material_hashes(ids: Sequence[str], signatures: Signatures) -> Indices:
    """Return (N, 2) 64-bit hashes of id and composition, and of bond lengths and composition.

    `are_known` finds a crystal among them again, under its id or as it is.
    """
    hashes = (
        _hashed(composition, key)
        for material_id, composition, place in zip(ids, *_keys(signatures), strict=True)
        for key in (material_id, place)
    )
    return np.fromiter(hashes, np.int64).reshape(-1, 2)


def are_known(ids: Sequence[str], signatures: Signatures, hashes: Indices) -> NDArray[np.bool_]:
    """Tell of each crystal whether it is one of those that `material_hashes` hashed.

    Crystals of the same id and composition are, and those whose bond lengths differ by at most 0.01 Å; of the
    same composition also a few whose mean bond lengths differ by at most 0.02 Å, as a hash cannot tell.
    """
    known = set(hashes.ravel().tolist())
    found = np.zeros(len(ids), dtype=bool)
    for row, (material_id, composition, place) in enumerate(zip(ids, *_keys(signatures), strict=True)):
        keys: list[str | int] = [material_id, place - 1, place, place + 1]
        found[row] = any(_hashed(composition, key) in known for key in keys)
    return found


def _keys(signatures: Signatures) -> tuple[Iterator[bytes], list[int]]:
    """Return of each crystal the reduced formula, and the interval of 0.01 Å that its mean length lies in."""
    formulas = (signatures.formulas[k] for k in signatures.compositions.tolist())
    return formulas, (signatures.means // SAME_DISTANCE).astype(np.int64).tolist()


def _hashed(composition: bytes, key: str | int) -> int:
    digest = hashlib.blake2b(composition + repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


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
    (sum of elements²,) as `_in_full` says.
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
    atoms = np.bincount(species, batch.multiplicities)
    sources = np.repeat(np.arange(len(batch.numbers)), np.diff(batch.edge_offsets))
    sorted_lengths = _sorted_lengths(batch, sources)
    fractions = batch.multiplicities / atoms[species]
    columns = [np.bincount(species, fractions * column) for column in sorted_lengths.T]
    lengths: NDArray[np.float64] = np.stack(columns, axis=1)
    bounds = np.searchsorted(keys, np.arange(n_crystals + 1) * 128)
    depths = _depths(batch, crystals, sources, species, fractions, sorted_lengths[:, -1], bounds)
    return _Species(bounds, keys % 128, atoms, lengths, depths)


def _in_full(
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


def _sorted_lengths(batch: GraphBatch, sources: Indices) -> NDArray[np.float64]:
    """Return (nodes, 12): the distance in Å of each node's first, second, ... twelfth neighbour.

    sources: (edges,) node an edge starts from.
    """
    order = np.lexsort((batch.distances, sources))
    reached = np.cumsum(batch.weights[order], dtype=np.float64)
    before = np.concatenate([[0.0], reached])[batch.edge_offsets[:-1]]
    # The weights of a node add up to 12, so that one sorted list holds all nodes, one after the other.
    ends = reached - before[sources] + sources * (N_NEIGHBORS + 1)
    wanted = np.arange(len(batch.numbers))[:, None] * (N_NEIGHBORS + 1) + np.arange(N_NEIGHBORS) + 0.5
    return batch.distances[order].astype(np.float64)[np.searchsorted(ends, wanted)]


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


def _twins(
    lengths: NDArray[np.float64], depths: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return the pairs among crystals of one composition that are the same material.

    lengths, depths: a row for each crystal, in the order of their mean lengths.
    """
    means = lengths.mean(axis=1)
    ends = np.searchsorted(means, means + SAME_DISTANCE, side="right")
    pairs = []
    for one, end in enumerate(ends.tolist()):
        others = slice(one + 1, end)
        near = np.abs(lengths[others] - lengths[one]).mean(axis=1) <= SAME_DISTANCE
        near &= (np.abs(depths[others] - depths[one]) <= _SAME_DEPTH).all(axis=1)
        pairs += [(one, one + 1 + int(other)) for other in np.flatnonzero(near)]
    return pairs


def _root(parents: Indices, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _unite(parents: Indices, a: int, b: int) -> None:
    root_a, root_b = _root(parents, a), _root(parents, b)
    parents[max(root_a, root_b)] = min(root_a, root_b)
