"""Training, validation and test sets that never share a material.

Works on the group numbers of `materials.material_groups`, a group lying in one set, and returns row numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import CrystalliteError, shortened
from ..graphs.packed import Indices

_PART_NAMES = {
    "": "unused",
    "unused": "unused",
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class Split(NamedTuple):
    """Row positions of each set, in random order (in row order when a column decides)."""

    train: Indices
    validation: Indices
    test: Indices


class Parts(NamedTuple):
    """Sizes of the parts; unit: `%`, `crystals`, or nothing where the numbers speak for themselves."""

    train: float
    validation: float
    test: float
    unit: str = ""


def random_split(groups: Indices, parts: Sequence[Any], seed: int) -> Split:
    """Split rows at random, whole groups together.

    parts: (train, validation, test) as fractions that add up to at most 1, as percentages that add up to 100,
    or as numbers of crystals; Parts with a unit where that is not clear. A group that no longer fits into
    test or validation moves on to the next set; training takes what is left, unless the sizes leave some
    crystals unused.
    """
    n_train, n_validation, n_test = _sizes(Parts(*parts), len(groups))
    order = np.random.default_rng(seed).permutation(len(groups))
    room = {"test": n_test, "validation": n_validation, "train": n_train}
    names = [*room, "unused"]
    rest = "train" if sum(room.values()) == len(groups) else "unused"
    in_order, firsts = np.unique(groups[order], return_index=True)
    in_order = in_order[np.argsort(firsts)]
    part_of_group = np.empty(len(groups), np.int8)  # its place among the names
    for group, size in zip(in_order, np.bincount(groups)[in_order].tolist(), strict=True):
        part = next((name for name, left in room.items() if left >= size), rest)
        part_of_group[group] = names.index(part)
        if part in room:
            room[part] -= size
    parts_of_rows = part_of_group[groups[order]]
    return Split(*(order[parts_of_rows == names.index(name)] for name in Split._fields))


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
    """Split by a column that says train, validation (or val) or test; empty or `unused` rows are left out.

    Raises CrystalliteError naming any other word.
    """
    parts = {label: _PART_NAMES.get((label or "").strip().lower()) for label in set(labels)}
    unknown = Counter(label for label in labels if parts[label] is None)
    if unknown:
        found = ", ".join(f"{label!r} ({count} rows)" for label, count in unknown.most_common(5))
        raise CrystalliteError(
            f"the split column has {found}; it takes train, validation, test, "
            "and nothing (or unused) for crystals to leave out"
        )
    places = {label: [*Split._fields, "unused"].index(str(part)) for label, part in parts.items()}
    part_of_row = np.fromiter((places[label] for label in labels), np.int8, len(labels))
    split = Split(*(np.flatnonzero(part_of_row == place) for place in range(len(Split._fields))))
    if not len(split.train):
        raise CrystalliteError("the split column has no row that says 'train'")
    return split


def given_split(parts: Mapping[str, Any], ids: Sequence[str]) -> Split:
    """Return the split that names its crystals.

    parts: train, validation (or val) and test, each ids or row numbers; validation and test may be missing.
    Raises CrystalliteError for what is neither, twice in it, or in two parts.
    """
    rows: dict[str, Indices] = {name: np.empty(0, np.int64) for name in Split._fields}
    for name, crystals in parts.items():
        part = _PART_NAMES.get(str(name), "")
        if part not in rows:
            raise CrystalliteError(f"split: {name!r} is none of train, validation and test")
        rows[part] = _rows_of(crystals, ids, part)
    counts = np.bincount(np.concatenate(list(rows.values())), minlength=len(ids))
    if counts.max(initial=0) > 1:
        raise CrystalliteError(f"split: {ids[int(counts.argmax())]} appears twice")
    return Split(*rows.values())


def _rows_of(crystals: Any, ids: Sequence[str], part: str) -> Indices:
    """Return the row numbers of ids or row numbers."""
    given = np.asarray(crystals)
    if given.ndim == 1 and given.dtype.kind in "US":
        row_of = {name: row for row, name in enumerate(ids)}
        unknown = [name for name in given.astype(str).tolist() if name not in row_of]
        if unknown:
            raise CrystalliteError(f"split: {part} names {shortened(unknown)}, not in the dataset")
        return np.array([row_of[name] for name in given.astype(str).tolist()], np.int64)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise CrystalliteError(f"split: {part} takes a list of ids or of row numbers")
    if given.size and not 0 <= given.min() <= given.max() < len(ids):
        raise CrystalliteError(f"split: {part} has row numbers beyond the {len(ids):,} crystals")
    return given.astype(np.int64)


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


def parse_parts(text: str) -> Parts:
    """Read '80/10/10', '0.8/0.1/0.1', '3150/394/394', '70/15/10 %' or '70/15/10 crystals'."""
    numbers, _, unit = text.strip().partition(" ")
    try:
        parts = tuple(float(part) for part in numbers.split("/"))
    except ValueError:
        parts = ()
    well_formed = len(parts) == 3 and all(map(math.isfinite, parts)) and min(parts) >= 0 and parts[0] > 0
    if not well_formed or unit.strip() not in ("", "%", "crystals"):
        raise CrystalliteError(
            "--split takes TRAIN/VALIDATION/TEST such as 80/10/10 or 3150/394/394, "
            f"or with a unit '70/15/10 %' or '70/15/10 crystals', not {text!r}"
        )
    return Parts(parts[0], parts[1], parts[2], unit.strip())


def _sizes(parts: Parts, n_rows: int) -> tuple[int, int, int]:
    """Return the numbers of training, validation and test crystals."""
    total = sum(parts[:3])
    if parts.unit == "%" or (not parts.unit and abs(total - 100) < 1e-9):
        return _shared_out([part / 100 for part in parts[:3]], n_rows)
    if not parts.unit and total <= 1 + 1e-9:
        return _shared_out(list(parts[:3]), n_rows)
    if any(part != int(part) for part in parts[:3]):
        raise CrystalliteError(
            f"fractions of a split must add up to at most 1, percentages to 100, not {total:g}"
        )
    train, validation, test = map(int, parts[:3])
    if not parts.unit and total < min(100, n_rows):
        text = f"{train}/{validation}/{test}"
        raise CrystalliteError(
            f"--split {text} of {n_rows} crystals may mean percentages that leave {100 - total:.0f} % unused "
            f"(write '{text} %') or numbers that leave {n_rows - total:.0f} crystals unused "
            f"(write '{text} crystals')"
        )
    if total > n_rows:
        raise CrystalliteError(f"the split asks for {total:.0f} crystals, the dataset has {n_rows}")
    return train, validation, test


def _shared_out(fractions: Sequence[float], n_rows: int) -> tuple[int, int, int]:
    """Turn fractions of the rows into numbers; fractions that add up to 1 use every row."""
    if sum(fractions) > 1 + 1e-9:
        raise CrystalliteError(
            f"percentages of a split must add up to at most 100 %, not {100 * sum(fractions):g} %"
        )
    n_train, n_validation, n_test = (round(fraction * n_rows) for fraction in fractions)
    if sum(fractions) > 1 - 1e-9:
        n_train = n_rows - n_validation - n_test
    return n_train, n_validation, n_test
