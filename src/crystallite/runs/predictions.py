"""The table of true and predicted values in a run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.csv_tables import meant, write_csv


def write_predictions(
    path: Path,
    ids: Sequence[str],
    names: Sequence[str],
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    deviation: NDArray[np.float64] | None = None,
) -> None:
    """Write a CSV of material_id, and NAME, NAME_predicted (and NAME_std, if given) for each target.

    truth, predicted, deviation: (rows, targets); a missing value is an empty cell. Numbers have all the
    digits they need to be read back equal.
    """
    parts = [("", truth), ("_predicted", predicted)] + (
        [("_std", deviation)] if deviation is not None else []
    )
    head = ["material_id", *(f"{name}{suffix}" for name in names for suffix, _ in parts)]
    cells = np.stack([values for _, values in parts], axis=2).reshape(len(ids), len(parts) * len(names))
    rows = (
        [name, *(None if math.isnan(x) else x for x in row.tolist())]
        for name, row in zip(ids, cells, strict=True)
    )
    write_csv(path, chain([head], rows))


class PredictionTable(NamedTuple):
    """What `write_predictions` wrote: ids, and (rows, targets) true and predicted values (NaN: none)."""

    ids: list[str]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]


def read_predictions(path: Path) -> PredictionTable:
    """Read a table that `write_predictions` wrote; deviations are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    values = values.reshape(len(rows), len(header) - 1)
    step = 3 if len(header) > 3 and header[3] == f"{header[1]}_std" else 2
    return PredictionTable([meant(row[0]) for row in rows], values[:, 0::step], values[:, 1::step])
