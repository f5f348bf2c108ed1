"""Symmetry operations: read, and checked to be a group that keeps the cell's metric."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from .blocks import UnreadableError

MAX_OPERATIONS = 768  # the 48 rotations of a cube with sixteen translations; F m -3 m has 192
MAX_MISFIT = 0.02  # of the metric: lengths that differ by 1 %, angles by 1.1 degrees
_LONGEST_OPERATION = 200  # characters
_EXACT_MISFIT = 1e-3
_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})(?:/(\d{1,9}))?")
_UNITS = 7200  # translations are told apart by this part of the cell, rotations by a twelfth
_HASH = np.random.default_rng(0).integers(1, 2**62, 12) | 1


class Group(NamedTuple):
    """The operations of a space group.

    operations: (k, 3, 4), the rotation and in the last column the translation. rotations: (r, 3, 3), each
    once. keys: a number for each operation, sorted; equal groups on equal axes have equal keys.
    """

    operations: NDArray[np.float64]
    rotations: NDArray[np.float64]
    keys: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.operations)

    def fits(self, lattice: NDArray[np.float64], *, exactly: bool = False) -> bool:
        """Whether the rotations R keep the metric G of a lattice, RᵀGR = G, exactly or within MAX_MISFIT."""
        if len(self.rotations) == 1 or not np.isfinite(lattice).all():
            return True
        metric = lattice @ lattice.T
        lengths = np.sqrt(np.diagonal(metric))
        changed = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations - metric
        misfit = np.abs(changed / np.outer(lengths, lengths)).max()
        return bool(misfit <= (_EXACT_MISFIT if exactly else MAX_MISFIT))


def listed_group(listed: Sequence[str], centerings: Sequence[str]) -> Group:
    """Return the group of operations such as '-x+y, 1/2+y, z', each combined with each of the centrings.

    Raises UnreadableError for an operation that cannot be read, and unless they form a group.
    """
    if len(listed) * max(1, len(centerings)) > MAX_OPERATIONS:
        raise UnreadableError(f"more than {MAX_OPERATIONS} symmetry operations")
    operations = np.array([_operation(text) for text in listed])
    if centerings:
        shifts = np.array([_operation(text)[:, 3] for text in centerings])
        operations = np.tile(operations, (len(shifts), 1, 1))
        operations[:, :, 3] += np.repeat(shifts, len(listed), axis=0)
    group = _group(operations)
    if not _is_closed(group):
        raise UnreadableError(
            f"the {len(listed)} symmetry operations do not form a group: some of their products are missing"
        )
    return group


def tabulated_group(operations: Any) -> Group:
    """Return the group of gemmi's GroupOps."""
    listed = [np.column_stack([operation.rot, operation.tran]) for operation in operations]
    return _group(np.array(listed) / gemmi.Op.DEN)


def group_number(group: Group) -> int | None:
    """Return the number of the space group in the International Tables; None off the settings gemmi knows."""
    operations = []
    for matrix in np.rint(group.operations * gemmi.Op.DEN).astype(int).tolist():
        operation = gemmi.Op()
        operation.rot = [row[:3] for row in matrix]
        operation.tran = [row[3] for row in matrix]
        operations.append(operation.wrap())
    found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))
    return None if found is None else int(found.number)


def _group(operations: NDArray[np.float64]) -> Group:
    """The group of operations, those that are there twice once."""
    keys = _keys(operations[:, :, :3], operations[:, :, 3])
    found, first = np.unique(keys, return_index=True)
    if len(found) < len(keys):
        operations = operations[np.sort(first)]
    return Group(operations, np.unique(operations[:, :, :3], axis=0), found)


def _keys(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> NDArray[np.int64]:
    """(k,) a number for each operation, the same for translations that differ by whole cells."""
    parts = np.rint(rotations * 12).reshape(-1, 9), np.rint(translations * _UNITS).reshape(-1, 3) % _UNITS
    return np.concatenate(parts, axis=1).astype(np.int64) @ _HASH


def _is_closed(group: Group) -> bool:
    """Whether the product of any two operations is one of them, up to whole cells."""
    rotations, translations = group.operations[:, :, :3], group.operations[:, :, 3]
    products = rotations[:, None] @ rotations[None]
    shifts = (rotations[:, None] @ translations[None, :, :, None])[..., 0] + translations[:, None]
    keys = _keys(products, shifts)
    slots = np.searchsorted(group.keys, keys).clip(max=len(group.keys) - 1)
    return bool((group.keys[slots] == keys).all())


def _operation(text: str) -> NDArray[np.float64]:
    """(3, 4) rotation and translation of '-x+y, 1/2+y, z'; a magnetic file's fourth part is ignored."""
    operation = np.zeros((3, 4))
    parts = re.sub(r"['\";\s]", "", text).lower().split(",")
    if parts[3:] in (["1"], ["+1"], ["-1"]):
        del parts[3]
    try:
        if len(text) > _LONGEST_OPERATION:
            raise ValueError("it is too long")
        for row, part in zip(operation, parts, strict=True):
            for sign, factor, axis in re.findall(r"([+-]?)([^+\-xyz]*)([xyz]?)", part):
                if factor or axis:
                    value = _simple_fraction(factor.rstrip("*")) if factor else 1.0
                    row["xyz".find(axis) if axis else 3] += -value if sign == "-" else value
        if abs(abs(np.linalg.det(operation[:, :3])) - 1) > 1e-6:
            raise ValueError("it changes volumes")
    except (ValueError, ZeroDivisionError):
        raise UnreadableError(f"cannot read the symmetry operation {text}") from None
    return operation


def _simple_fraction(text: str) -> float:
    """The value of 1/2, 0.5 or 0.3333, the last as 1/3."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"not a number: {text}")
    value = Fraction(found[1]) / int(found[2] or 1)
    simple = value.limit_denominator(24)
    return float(simple if abs(simple - value) < 1e-4 else value)
