"""Which crystals are the same material, however they are written down.

Those of one id are, and those whose signatures are alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled, read_only
from ..graphs.packed import Indices, PackedGraphs
from .signatures import N_NEIGHBORS, SAME_DISTANCE, Signatures, in_full, material_signatures

_SAME_DEPTH = N_NEIGHBORS * 2 * SAME_DISTANCE  # Å; that many bonds, each end of a difference off by that much
_MARGIN = 1 + 1e-9  # of a sum, for what sums in another order are rounded to
_CHUNK = 4096  # crystals compared with others at once


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
    first_rows: dict[str, int] = {}  # of each id; Arrow, which has a function for this, would import pandas
    rows_of_ids = (first_rows.setdefault(material_id, row) for row, material_id in enumerate(ids))
    parents = np.fromiter(rows_of_ids, np.int64, len(ids))
    for run, lengths, depths in in_full(signatures):
        for a, b in _twins(lengths, depths):
            _unite(parents, int(run[a]), int(run[b]))
    while not np.array_equal(parents, roots := parents[parents]):
        parents = roots
    return np.unique(parents, return_inverse=True)[1]


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


def _twins(lengths: NDArray[np.float64], depths: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield the pairs among crystals of one composition that are the same material.

    lengths, depths: a row for each crystal, in the order of their mean lengths.
    """
    means = lengths.mean(axis=1)
    ends = np.searchsorted(means, means + SAME_DISTANCE, side="right")
    most = SAME_DISTANCE * lengths.shape[1] * _MARGIN
    for first in range(0, len(ends), _CHUNK):
        pairs = _near_pairs(*read_only(lengths, ends), first, min(first + _CHUNK, len(ends)), most)
        if not len(pairs):
            continue
        one, other = pairs.T
        near = np.abs(lengths[other] - lengths[one]).mean(axis=1) <= SAME_DISTANCE
        near &= (np.abs(depths[other] - depths[one]) <= _SAME_DEPTH).all(axis=1)
        yield from map(tuple, pairs[near].tolist())


@compiled
def _near_pairs(lengths, ends, first, last, most):  # type: ignore[no-untyped-def]
    """The pairs of a row (first to last) and one before its end whose lengths differ by `most` in sum."""
    pairs, n_pairs = np.empty((64, 2), np.int64), 0
    for one in range(first, last):
        for other in range(one + 1, ends[one]):
            total = 0.0
            for k in range(lengths.shape[1]):
                total += abs(lengths[other, k] - lengths[one, k])
                if total > most:
                    break
            if total <= most:
                if n_pairs == len(pairs):
                    pairs = np.concatenate((pairs, np.empty_like(pairs)))
                pairs[n_pairs, 0], pairs[n_pairs, 1] = one, other
                n_pairs += 1
    return pairs[:n_pairs]


def _root(parents: Indices, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _unite(parents: Indices, a: int, b: int) -> None:
    root_a, root_b = _root(parents, a), _root(parents, b)
    parents[max(root_a, root_b)] = min(root_a, root_b)
