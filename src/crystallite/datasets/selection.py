"""Parts of a dataset by ids and values, and the earlier reproduction's three sets.

With `everything`, all that a source has, and the article's list of ids:
    original = original_set(everything, ids, id_map)    the article's crystals
    full     = full_set(everything)                     whatever is not deprecated
    delta    = delta_set(everything, ids, id_map)       full without original
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import CrystalliteError
from .dataset import Dataset

DEPRECATED = "deprecated"  # the column that says so, as fetched from the Materials Project


class Selected(NamedTuple):
    """A part of a dataset, and the ids asked for that it does not have."""

    dataset: Dataset
    absent: list[str]


def select_ids(
    dataset: Dataset, ids: Sequence[str], id_map: Mapping[str, str] | None = None, *, exclude: bool = False
) -> Selected:
    """Return the crystals whose id is in `ids` (or, with exclude, is not), in the order of the dataset.

    id_map: id -> today's id. With it `ids` and the dataset's ids are compared by what they are called today.
    """
    names = id_map or {}
    wanted = {names.get(name, name) for name in ids}
    known = [names.get(name, name) for name in dataset.ids]
    chosen = np.array([(name in wanted) != exclude for name in known], dtype=bool)
    present = set(known)
    absent = [name for name in dict.fromkeys(ids) if names.get(name, name) not in present]
    return Selected(dataset.select(chosen), absent)


def select_value(dataset: Dataset, column: str, value: str) -> Dataset:
    """Return the crystals whose `column` is `value`, a text, a number, true or false; missing is none."""
    if column in dataset.label_names:
        return dataset.select(np.array([label == value for label in dataset.labels(column)], dtype=bool))
    values = dataset.values(column)
    try:
        number = {"true": 1.0, "false": 0.0}[value.lower()] if value.isalpha() else float(value)
    except (KeyError, ValueError):
        raise CrystalliteError(f"{column} holds numbers or true and false, not {value!r}") from None
    return dataset.select(values == number)


def original_set(dataset: Dataset, ids: Sequence[str], id_map: Mapping[str, str] | None = None) -> Selected:
    """Return the crystals of the article's list, deprecated or not."""
    return select_ids(dataset, ids, id_map)


def full_set(dataset: Dataset) -> Dataset:
    """Return the crystals that are not deprecated; all of them if the dataset does not say."""
    if DEPRECATED not in dataset.properties:
        return dataset
    return dataset.select(dataset.values(DEPRECATED) != 1)


def delta_set(dataset: Dataset, ids: Sequence[str], id_map: Mapping[str, str] | None = None) -> Selected:
    """Return the crystals that are not deprecated and not in the article's list."""
    return select_ids(full_set(dataset), ids, id_map, exclude=True)
