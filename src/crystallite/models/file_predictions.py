"""Predictions streamed from files to a table: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import CrystalError
from ..files.typed_tables import Table
from ..graphs.packed import PackedGraphs
from ..sources.streaming import Bad, Report, Wanted, streamed, write_table
from .predictor import NO_NUMBER, Predictor
from .tables import NO_EXTRAS, Extras, are_numbers, check_extras, prediction_table, table_columns


def predict_files(
    predictors: Sequence[Predictor],
    inputs: Sequence[str],
    output: Path | None,
    extras: Extras = NO_EXTRAS,
    *,
    workers: int = 1,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> Report:
    """Predict every crystal of the inputs and write a table (.csv or .parquet; None: to stdout).

    predictors: one or more of the same graph settings. inputs, on_bad: see `sources.streaming`; they are
    streamed, but for the ids of several inputs, which are told apart.
    """
    check_extras(predictors, extras)

    def table_of(ids: list[str], graphs: PackedGraphs, bad: Bad) -> tuple[list[str], Table]:
        return _finite(predictors, ids, prediction_table(predictors, graphs, extras), bad)

    return write_table(
        inputs,
        output,
        table_columns(predictors, extras),
        Wanted(predictors[0].model.graph, workers),
        table_of,
        doing="predicting",
        progress=progress,
        on_bad=on_bad,
    )


def predicted_chunks(
    predictors: Sequence[Predictor],
    inputs: Sequence[str | Path],
    notices: list[str],
    bad: Bad,
    extras: Extras = NO_EXTRAS,
    *,
    workers: int = 1,
) -> Iterator[tuple[list[str], Table]]:
    """Yield ids and predictions of what the inputs stand for, some crystals at a time.

    What cannot be used is told to `bad`, what was chosen or left out is added to `notices`.
    """
    for ids, graphs in streamed(inputs, Wanted(predictors[0].model.graph, workers), notices, bad):
        yield _finite(predictors, ids, prediction_table(predictors, graphs, extras), bad)


def _finite(
    predictors: Sequence[Predictor], ids: list[str], table: Table, bad: Bad
) -> tuple[list[str], Table]:
    """Leave out the crystals whose predictions are not finite."""
    is_number = are_numbers(predictors, table)
    for row in np.flatnonzero(~is_number):
        bad(CrystalError(ids[row], NO_NUMBER))
    kept = [name for name, good in zip(ids, is_number, strict=True) if good]
    return kept, {name: column[is_number] for name, column in table.items()}
