"""Which rows of a dataset are meant: by ids, by integers or by truth values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ..errors import CrystalliteError, close_names, shortened


def selected_rows(which: ArrayLike, ids: pa.ChunkedArray, title: str) -> NDArray[np.int64]:
    """Return the numbers of the rows that are meant, from 0, in the order they are asked for.

    Args:
        which: Material ids, integers (negative ones count from the end), or one truth value for each row.
        ids: The material id of every row.
        title: What errors call the dataset.

    Raises:
        CrystalliteError: An id is unknown or that of several rows, or `which` is none of the three.
        IndexError: There are fewer rows.
    """
    wanted = np.asarray(which)
    if wanted.ndim == 1 and wanted.size == 0 and wanted.dtype != bool:
        return np.empty(0, np.int64)
    if wanted.ndim == 1 and wanted.dtype == bool:
        if len(wanted) != len(ids):
            raise CrystalliteError(
                f"{len(wanted):,} truth values for {len(ids):,} crystals of {title}; give one for each"
            )
        return np.flatnonzero(wanted)
    if wanted.ndim == 1 and np.issubdtype(wanted.dtype, np.integer):
        return _rows_at(wanted, len(ids), title)
    if wanted.ndim == 1 and all(isinstance(name, str) for name in wanted.tolist()):
        return _rows_with_ids(wanted.tolist(), ids.to_pylist(), title)
    raise CrystalliteError(
        "crystals are selected by a list of ids, a list of integers or a truth value for each, "
        f"not by {which!r:.60}"
    )


def _rows_at(wanted: NDArray[Any], n_rows: int, title: str) -> NDArray[np.int64]:
    outside = wanted[(wanted < -n_rows) | (wanted >= n_rows)]
    if len(outside):
        raise IndexError(f"there is no crystal {outside[0]}: {title} has {n_rows:,} crystals")
    return np.arange(n_rows, dtype=np.int64).take(wanted)


def _rows_with_ids(wanted: list[str], ids: list[str], title: str) -> NDArray[np.int64]:
    rows = {name: row for row, name in enumerate(ids)}
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        raise CrystalliteError(
            f"{title} has no crystal {shortened(unknown)}{close_names(unknown[0], list(rows))}"
        )
    counts = Counter(ids) if len(rows) < len(ids) else {}
    repeated = next((name for name in wanted if counts.get(name, 1) > 1), None)
    if repeated is not None:
        raise CrystalliteError(
            f"{title} has {counts[repeated]} crystals with the id {repeated}; "
            "select them by integers or truth values"
        )
    return np.array([rows[name] for name in wanted], dtype=np.int64)
