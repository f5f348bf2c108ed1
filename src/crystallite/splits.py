"""Training, validation and test parts that never share a material.

Crystals with the same id, or with the same composition and the same graph within a tolerance, form a group;
a group lies in one part. Works on group numbers and returns row positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import CrystalliteError
from .graphs import PackedGraphs

SAME_DISTANCE = 0.01  # Å; mean and root-mean-square bond lengths closer than this are the same
SAME_WEIGHT = 0.02  # share of an atom's bonds
Indices = NDArray[np.int64]
_PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class Split(NamedTuple):
    """Row positions of each part, in random order (in row order when a column decides)."""

    train: Indices
    validation: Indices
    test: Indices


def material_groups(ids: Sequence[str], graphs: PackedGraphs) -> Indices:
    """Return (N,) group numbers: equal for the same id, or the same composition and graph within tolerance.

    Cost: linear in edges, and quadratic only in the crystals that share a composition and its bonded pairs.
    """
    parents = np.arange(len(ids))
    first_with_id: dict[str, int] = {}
    for row, material_id in enumerate(ids):
        _unite(parents, row, first_with_id.setdefault(material_id, row))
    alike: dict[bytes, list[tuple[int, NDArray[np.float64]]]] = {}
    for row, (key, moments) in enumerate(_signatures(graphs)):
        others = alike.setdefault(key, [])
        for other, other_moments in others:
            difference = np.abs(moments - other_moments)
            if (difference[:, 0] < SAME_WEIGHT).all() and (difference[:, 1:] < SAME_DISTANCE).all():
                _unite(parents, row, other)
        others.append((row, moments))
    return np.unique([_root(parents, row) for row in range(len(ids))], return_inverse=True)[1]


def random_split(groups: Indices, parts: Sequence[float], seed: int) -> Split:
    """Split rows at random, whole groups together.

    parts: (train, validation, test) as shares that add up to at most 1, as percentages that add up to 100, or
    as numbers of crystals. A group that no longer fits into test or validation goes on to the next part;
    training takes what is left, unless the parts leave some crystals unused.
    """
    n_validation, n_test, n_train = _sizes(parts, len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    sizes = np.bincount(groups)
    room = {"test": n_test, "validation": n_validation, "train": n_train}
    rest = "train" if sum(room.values()) == len(groups) else "unused"
    part_of_group: dict[int, str] = {}
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": [], "unused": []}
    for row in order:
        group = int(groups[row])
        if group not in part_of_group:
            part = next((name for name, left in room.items() if left >= sizes[group]), rest)
            part_of_group[group] = part
            if part in room:
                room[part] -= int(sizes[group])
        rows[part_of_group[group]].append(int(row))
    return Split(*(np.array(rows[name], dtype=np.int64) for name in Split._fields))


def fold_split(groups: Indices, fold: int, n_folds: int, seed: int) -> Split:
    """Return fold `fold` of 1 to n_folds as test, the next one as validation and the rest for training.

    Whole groups lie in a fold, every row in exactly one, and folds differ by about a group in size.
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if not 1 <= fold <= n_folds or n_folds < 3 or n_folds > n_groups:
        raise CrystalliteError(
            f"fold {fold} of {n_folds}: at least 3 folds, and no more than {n_groups} materials"
        )
    rng = np.random.default_rng(seed)
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    sizes = np.bincount(groups, minlength=n_groups)
    for group in rng.permutation(n_groups):
        fold_of_group[group] = filled.argmin()
        filled[fold_of_group[group]] += sizes[group]
    order = rng.permutation(len(groups))
    folds = fold_of_group[groups[order]]
    test, validation = folds == fold - 1, folds == fold % n_folds
    return Split(order[~test & ~validation], order[validation], order[test])


def column_split(labels: Sequence[str | None]) -> Split:
    """Split by a column that says train, validation (or val) or test; other rows are left out."""
    names = np.array([_PART_NAMES.get(str(label).strip().lower(), "") for label in labels])
    split = Split(*(np.flatnonzero(names == part).astype(np.int64) for part in Split._fields))
    if not len(split.train):
        found = ", ".join(sorted({str(label) for label in labels})[:5])
        raise CrystalliteError(f"the split column has no row that says 'train' (found: {found})")
    return split


def without_repeats(split: Split, groups: Indices) -> Split:
    """Leave out of training what repeats a held-out material, out of validation what repeats a tested one.

    groups: (N,) group number of every row, as material_groups returns them.
    """
    held_out = np.concatenate([split.validation, split.test])
    return Split(
        split.train[~np.isin(groups[split.train], groups[held_out])],
        split.validation[~np.isin(groups[split.validation], groups[split.test])],
        split.test,
    )


def parse_parts(text: str) -> tuple[float, float, float]:
    """Read '80/10/10', '0.8/0.1/0.1' or '3150/394/394'."""
    try:
        parts = tuple(float(part) for part in text.split("/"))
    except ValueError:
        parts = ()
    if len(parts) != 3 or not all(map(math.isfinite, parts)) or min(parts) < 0 or parts[0] == 0:
        raise CrystalliteError(
            f"--split takes TRAIN/VALIDATION/TEST such as 80/10/10 or 3150/394/394, not {text!r}"
        )
    return parts


def _sizes(parts: Sequence[float], n_rows: int) -> tuple[int, int, int]:
    """Return the numbers of validation, test and training crystals."""
    train, validation, test = parts
    total = train + validation + test
    if abs(total - 100) < 1e-9:
        train, validation, test, total = train / 100, validation / 100, test / 100, 1.0
    if total <= 1 + 1e-9:
        n_validation, n_test = round(validation * n_rows), round(test * n_rows)
        n_left = n_rows - n_validation - n_test
        return n_validation, n_test, n_left if total > 1 - 1e-9 else round(train * n_rows)
    if any(part != int(part) for part in parts):
        raise CrystalliteError(
            f"shares of a split add up to at most 1, or to 100 as percentages, not {total:g}"
        )
    if total > n_rows:
        raise CrystalliteError(f"the split asks for {total:.0f} crystals, the dataset has {n_rows}")
    return int(validation), int(test), int(train)


def _signatures(graphs: PackedGraphs) -> Iterator[tuple[bytes, NDArray[np.float64]]]:
    """Yield each crystal's composition and bonded element pairs, and the moments of these pairs' lengths.

    Moments: (pairs, 3) share of all bonds, mean and root-mean-square length in Å.
    """
    sources = np.repeat(np.arange(len(graphs.numbers)), np.diff(graphs.edge_offsets))
    node_crystals = np.repeat(np.arange(graphs.n_crystals), np.diff(graphs.node_offsets))
    crystals = node_crystals[sources]
    others = graphs.node_offsets[crystals] + graphs.neighbors
    pairs = graphs.numbers[sources].astype(np.int64) * 128 + graphs.numbers[others]
    keys, inverse = np.unique(crystals * 2**14 + pairs, return_inverse=True)
    weights = graphs.weights.astype(np.float64) * graphs.multiplicities[sources]
    totals = np.bincount(inverse, weights)
    means = np.bincount(inverse, weights * graphs.distances) / totals
    squares = np.bincount(inverse, weights * graphs.distances.astype(np.float64) ** 2) / totals
    bounds = np.searchsorted(keys, np.arange(graphs.n_crystals + 1) * 2**14)
    for crystal in range(graphs.n_crystals):
        span = slice(bounds[crystal], bounds[crystal + 1])
        shares = totals[span] / totals[span].sum()
        moments = np.column_stack([shares, means[span], np.sqrt(squares[span])])
        yield _composition_key(graphs, crystal) + (keys[span] % 2**14).tobytes(), moments


def _composition_key(graphs: PackedGraphs, crystal: int) -> bytes:
    nodes = slice(graphs.node_offsets[crystal], graphs.node_offsets[crystal + 1])
    counts = np.bincount(graphs.numbers[nodes], graphs.multiplicities[nodes]).astype(np.int64)
    elements = np.flatnonzero(counts)
    return np.concatenate([elements, counts[elements] // np.gcd.reduce(counts[elements]), [-1]]).tobytes()


def _root(parents: Indices, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _unite(parents: Indices, a: int, b: int) -> None:
    root_a, root_b = _root(parents, a), _root(parents, b)
    parents[max(root_a, root_b)] = min(root_a, root_b)
