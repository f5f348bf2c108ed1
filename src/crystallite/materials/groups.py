"""Which crystals are the same material, however they are written down.

A material's signature is made of sorted bond lengths, averaged over the atoms of each element. Unlike
anything that counts bonds, it changes continuously when atoms move: a shell of equally distant neighbours
that is cut at the twelfth loses and gains bonds of one length. The averages of sorted distances are the
average minimum distances of Widdowson et al. (MATCH Commun. Math. Comput. Chem. 87, 529, 2022), here of each
element.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graphs.packed import Indices, PackedGraphs
from ..settings.config import GraphConfig

N_NEIGHBORS = GraphConfig().n_neighbors
SAME_DISTANCE = 0.01  # Å; twins are crystals whose sorted bond lengths differ by no more on average
_SAME_DEPTH = N_NEIGHBORS * 2 * SAME_DISTANCE  # Å; that many bonds, each end of a difference off by that much
_CHUNK = 4096  # crystals worked on at once


class Signatures(NamedTuple):
    """What tells materials apart, of N crystals.

    compositions: N keys of the reduced formula. lengths: N arrays (elements, 12) in Å, the mean over the
    atoms of an element of the distance of its first, second, ... twelfth neighbour. depths: N arrays
    (elements, elements) in Å, the mean over the atoms of one element of the sum over bonds to the other of
    how much shorter each is than the twelfth; it tells how elements are arranged, and bonds in a shell that
    is cut add nothing.
    """

    compositions: list[bytes]
    lengths: list[NDArray[np.float64]]
    depths: list[NDArray[np.float64]]


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
    parents = np.arange(len(ids))
    first_with_id: dict[str, int] = {}
    for row, material_id in enumerate(ids):
        _unite(parents, row, first_with_id.setdefault(material_id, row))
    alike: dict[bytes, list[int]] = {}
    for row, composition in enumerate(signatures.compositions):
        alike.setdefault(composition, []).append(row)
    for rows in alike.values():
        if len(rows) > 1:
            for a, b in _twins(np.array(rows), signatures):
                _unite(parents, a, b)
    return np.unique([_root(parents, row) for row in range(len(ids))], return_inverse=True)[1]


def material_signatures(graphs: PackedGraphs) -> Signatures:
    """Return the signatures of all crystals; graphs: with the default settings."""
    firsts = range(0, graphs.n_crystals, _CHUNK)
    parts = [_signatures_of_part(graphs, first, min(first + _CHUNK, graphs.n_crystals)) for first in firsts]
    return Signatures(
        [composition for part in parts for composition in part.compositions],
        [lengths for part in parts for lengths in part.lengths],
        [depths for part in parts for depths in part.depths],
    )


def _signatures_of_part(graphs: PackedGraphs, first: int, last: int) -> Signatures:
    """Return the signatures of the crystals first to last, all at once."""
    graphs = _part(graphs, first, last)
    crystals = np.repeat(np.arange(graphs.n_crystals), np.diff(graphs.node_offsets))
    keys, species = np.unique(crystals * 128 + graphs.numbers, return_inverse=True)
    atoms = np.bincount(species, graphs.multiplicities)
    sources = np.repeat(np.arange(len(graphs.numbers)), np.diff(graphs.edge_offsets))
    sorted_lengths = _sorted_lengths(graphs, sources)
    fractions = graphs.multiplicities / atoms[species]
    columns = [np.bincount(species, fractions * column) for column in sorted_lengths.T]
    lengths: NDArray[np.float64] = np.stack(columns, axis=1)
    bounds = np.searchsorted(keys, np.arange(graphs.n_crystals + 1) * 128)
    spans = [slice(first, last) for first, last in pairwise(bounds)]
    depths = _depths(graphs, crystals, sources, species, fractions, sorted_lengths[:, -1], bounds)
    return Signatures(
        [_composition(keys[span] % 128, atoms[span]) for span in spans],
        [lengths[span] for span in spans],
        depths,
    )


def material_hashes(ids: Sequence[str], signatures: Signatures) -> Indices:
    """Return (N, 2) 64-bit hashes of id and composition, and of bond lengths and composition.

    `are_known` finds a crystal among them again, under its id or as it is.
    """
    bins = map(_bin, signatures.lengths)
    return np.array(
        [
            [_hashed(composition, material_id), _hashed(composition, place)]
            for material_id, composition, place in zip(ids, signatures.compositions, bins, strict=True)
        ],
        dtype=np.int64,
    ).reshape(-1, 2)


def are_known(ids: Sequence[str], signatures: Signatures, hashes: Indices) -> NDArray[np.bool_]:
    """Tell of each crystal whether it is one of those that `material_hashes` hashed.

    Crystals of the same id and composition are, and those whose bond lengths differ by at most 0.01 Å; of the
    same composition also a few whose mean bond lengths differ by at most 0.02 Å, as a hash cannot tell.
    """
    known = set(hashes.ravel().tolist())
    found = np.zeros(len(ids), dtype=bool)
    for row, (material_id, composition) in enumerate(zip(ids, signatures.compositions, strict=True)):
        place = _bin(signatures.lengths[row])
        keys: list[str | int] = [material_id, place - 1, place, place + 1]
        found[row] = any(_hashed(composition, key) in known for key in keys)
    return found


def _bin(lengths: NDArray[np.float64]) -> int:
    """Return the interval of 0.01 Å that the mean length of a crystal lies in."""
    return int(lengths.mean() // SAME_DISTANCE)


def _hashed(composition: bytes, key: str | int) -> int:
    digest = hashlib.blake2b(composition + repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _part(graphs: PackedGraphs, first: int, last: int) -> PackedGraphs:
    """Return the graphs of the crystals first to last, sharing memory but for the offsets."""
    nodes = slice(graphs.node_offsets[first], graphs.node_offsets[last])
    edges = slice(graphs.edge_offsets[nodes.start], graphs.edge_offsets[nodes.stop])
    return PackedGraphs(
        node_offsets=graphs.node_offsets[first : last + 1] - nodes.start,
        edge_offsets=graphs.edge_offsets[nodes.start : nodes.stop + 1] - edges.start,
        numbers=graphs.numbers[nodes],
        multiplicities=graphs.multiplicities[nodes],
        neighbors=graphs.neighbors[edges],
        distances=graphs.distances[edges],
        weights=graphs.weights[edges],
        crystals=None,
    )


def _sorted_lengths(graphs: PackedGraphs, sources: Indices) -> NDArray[np.float64]:
    """Return (nodes, 12): the distance in Å of each node's first, second, ... twelfth neighbour.

    sources: (edges,) node an edge starts from.
    """
    order = np.lexsort((graphs.distances, sources))
    reached = np.cumsum(graphs.weights[order], dtype=np.float64)
    before = np.concatenate([[0.0], reached])[graphs.edge_offsets[:-1]]
    # The weights of a node add up to 12, so that one sorted list holds all nodes, one after the other.
    ends = reached - before[sources] + sources * (N_NEIGHBORS + 1)
    wanted = np.arange(len(graphs.numbers))[:, None] * (N_NEIGHBORS + 1) + np.arange(N_NEIGHBORS) + 0.5
    return graphs.distances[order].astype(np.float64)[np.searchsorted(ends, wanted)]


def _depths(
    graphs: PackedGraphs,
    crystals: Indices,
    sources: Indices,
    species: Indices,
    fractions: NDArray[np.float64],
    last: NDArray[np.float64],
    bounds: Indices,
) -> list[NDArray[np.float64]]:
    """Return `Signatures.depths`.

    crystals: (nodes,). sources: (edges,). species: (nodes,) number of (crystal, element). bounds: the first
    species of each crystal. last: (nodes,) distance of the twelfth neighbour.
    """
    of_edges = crystals[sources]
    others = graphs.node_offsets[of_edges] + graphs.neighbors
    n_elements = np.diff(bounds)
    firsts = np.concatenate([[0], np.cumsum(n_elements**2)])
    row, column = (species[nodes] - bounds[of_edges] for nodes in (sources, others))
    cells = firsts[of_edges] + row * n_elements[of_edges] + column
    amounts = graphs.weights * fractions[sources] * np.maximum(last[sources] - graphs.distances, 0)
    flat = np.bincount(cells, amounts, minlength=firsts[-1]).astype(np.float64)
    return [
        flat[first : first + n * n].reshape(n, n) for first, n in zip(firsts[:-1], n_elements, strict=True)
    ]


def _composition(elements: Indices, atoms: NDArray[Any]) -> bytes:
    counts = atoms.astype(np.int64)
    return np.concatenate([elements, counts // np.gcd.reduce(counts)]).astype(np.int64).tobytes()


def _twins(rows: Indices, signatures: Signatures) -> list[tuple[int, int]]:
    """Return the pairs among crystals of one composition that are the same material."""
    lengths = np.stack([signatures.lengths[row].ravel() for row in rows])
    depths = np.stack([signatures.depths[row].ravel() for row in rows])
    means = lengths.mean(axis=1)
    order = np.argsort(means, kind="stable")
    ends = np.searchsorted(means[order], means[order] + SAME_DISTANCE, side="right")
    pairs = []
    for place, end in enumerate(ends):
        one, others = order[place], order[place + 1 : end]
        near = np.abs(lengths[others] - lengths[one]).mean(axis=1) <= SAME_DISTANCE
        near &= (np.abs(depths[others] - depths[one]) <= _SAME_DEPTH).all(axis=1)
        pairs += [(int(rows[one]), int(rows[other])) for other in others[near]]
    return pairs


def _root(parents: Indices, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _unite(parents: Indices, a: int, b: int) -> None:
    root_a, root_b = _root(parents, a), _root(parents, b)
    parents[max(root_a, root_b)] = min(root_a, root_b)
