"""What a table of predictions holds: for each target its value and how sure it is, for each crystal how new.

    NAME, NAME_std            a value; of an ensemble the calibrated standard deviation of its error
    NAME_lower, NAME_upper    bounds of the interval that was asked for
    novelty                   percentage of held-out crystals that are nearer to the training data
    unseen_elements           elements of the crystal that the training data lacks
    neighbour_1, ...          the nearest training crystals: id, distance, and true values

Of several models at once, what is said of a crystal has the target's name before it: NAME_novelty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..crystals.elements import symbols
from ..errors import CrystalliteError
from ..files.typed_tables import Column, Table
from ..graphs.packed import PackedGraphs
from .predictor import Predictor
from .reference import N_NEAREST, mean_distance
from .reliability import Reliability

MOST_NEIGHBOURS = 1_000  # each has its columns


class Extras(NamedTuple):
    """What is asked for beside the values: the interval's level in percent, and nearest training crystals."""

    interval: float | None = None
    neighbours: int = 0


NO_EXTRAS = Extras()


def check_extras(predictors: Sequence[Predictor], extras: Extras) -> None:
    """Raise CrystalliteError for extras that make no sense, and for tables that a model cannot give."""
    check_table(predictors, extras)
    for predictor in predictors:
        if (extras.interval is not None or extras.neighbours) and predictor.reliability is None:
            names = ", ".join(predictor.model.targets.names)
            raise CrystalliteError(
                f"the model of {names} does not know its errors and training data: it was trained without a "
                "validation set, or by an earlier version; train it again"
            )


def check_table(predictors: Sequence[Predictor], extras: Extras) -> None:
    """Raise CrystalliteError for extras beyond their limits, and for two columns of one name."""
    if not 0 <= extras.neighbours <= MOST_NEIGHBOURS:
        raise CrystalliteError(f"neighbours are 0 to {MOST_NEIGHBOURS:,}, not {extras.neighbours}")
    if extras.interval is not None and not 0 < extras.interval < 100:
        raise CrystalliteError(f"an interval's level is between 0 and 100 percent, not {extras.interval:g}")
    columns = Counter(column.name for column in table_columns(predictors, extras))
    if twice := [name for name, count in columns.items() if count > 1]:
        raise CrystalliteError(
            f"two columns would have the name {twice[0]}, a target's and one that says more of it or of the "
            "crystal: train with another name of the target"
        )


def table_columns(predictors: Sequence[Predictor], extras: Extras) -> list[Column]:
    """Return the columns that `prediction_table` makes."""
    return [column for predictor in predictors for column in _columns(predictor, extras, len(predictors) > 1)]


def _columns(predictor: Predictor, extras: Extras, prefixed: bool) -> Iterator[Column]:
    targets = predictor.model.targets
    units = dict(zip(targets.names, targets.units, strict=True))
    for name, unit in units.items():
        yield Column(name, unit)
        if predictor.is_ensemble:
            yield Column(f"{name}_std", unit)
        if extras.interval is not None and predictor.reliability is not None:
            yield from (Column(f"{name}_{end}", unit) for end in ("lower", "upper"))
        if prefixed and predictor.reliability is not None:
            yield from _of_crystal(f"{name}_", {name: unit}, extras)
    if not prefixed and predictor.reliability is not None:
        yield from _of_crystal("", units, extras)


def _of_crystal(prefix: str, units: dict[str, str], extras: Extras) -> Iterator[Column]:
    """Yield the columns that say how new a crystal is; units: of the targets, by name."""
    yield Column(f"{prefix}novelty", "%")
    yield Column(f"{prefix}unseen_elements", is_text=True)
    for k in range(1, extras.neighbours + 1):
        yield Column(f"{prefix}neighbour_{k}", is_text=True)
        yield Column(f"{prefix}neighbour_{k}_distance")
        yield from (Column(f"{prefix}neighbour_{k}_{name}", unit) for name, unit in units.items())


def prediction_table(predictors: Sequence[Predictor], graphs: PackedGraphs, extras: Extras) -> Table:
    """Return column -> (crystals,) values: float64, or text as objects."""
    return joined(predictors, [own_table(predictor, graphs, extras) for predictor in predictors], extras)


def joined(predictors: Sequence[Predictor], tables: Sequence[Table], extras: Extras) -> Table:
    """Return one table of those that `own_table` made of the same crystals."""
    table: Table = {}
    for predictor, own in zip(predictors, tables, strict=True):
        table |= own
        for name in predictor.model.targets.names:
            about = [column.name for column in _of_crystal("", {name: ""}, extras)]
            table |= {f"{name}_{column}": own[column] for column in about if column in own}
    return {column.name: table[column.name] for column in table_columns(predictors, extras)}


def own_table(predictor: Predictor, graphs: PackedGraphs, extras: Extras) -> Table:
    """Return the columns of one model as if it were the only one."""
    evaluated = predictor.evaluate(graphs)
    table: Table = dict(zip(predictor.columns, predictor.combine(evaluated.members).T, strict=True))
    reliability, targets = predictor.reliability, predictor.model.targets
    if reliability is None or evaluated.embedding is None:
        return table
    rows, distances = reliability.reference.neighbors(evaluated.embedding, max(N_NEAREST, extras.neighbours))
    mean_distances = mean_distance(distances)
    if extras.interval is not None:
        level = extras.interval / 100
        ends = reliability.bounds(targets, level, evaluated.members, mean_distances)
        for end, bounds in zip(("lower", "upper"), ends, strict=True):
            table |= {f"{name}_{end}": bounds[:, k] for k, name in enumerate(targets.names)}
    table["novelty"] = reliability.novelty(mean_distances)
    table["unseen_elements"] = _unseen_elements(graphs, reliability)
    return table | _neighbours(reliability, targets.names, rows, distances, extras)


def _neighbours(
    reliability: Reliability,
    names: Sequence[str],
    rows: NDArray[np.int64],
    distances: NDArray[np.float32],
    extras: Extras,
) -> Table:
    """Return the columns of the nearest training crystals; empty where there are fewer than asked for."""
    table: Table = {}
    ids = reliability.reference.id_array
    n_found = rows.shape[1]
    for k in range(extras.neighbours):
        beginning, is_there = f"neighbour_{k + 1}", k < n_found
        row = rows[:, k] if is_there else np.zeros(len(rows), np.int64)
        table[beginning] = ids[row] if is_there else np.full(len(rows), "", object)
        unknown = np.full(len(rows), np.nan)
        table[f"{beginning}_distance"] = distances[:, k].astype(np.float64) if is_there else unknown
        for column, name in enumerate(names):
            values = reliability.reference.values[row, column].astype(np.float64)
            table[f"{beginning}_{name}"] = values if is_there else unknown
    return table


def _unseen_elements(graphs: PackedGraphs, reliability: Reliability) -> NDArray[Any]:
    """Return (crystals,) the symbols of elements that the training data lacks, with spaces between them."""
    known = np.zeros(256, bool)
    known[reliability.reference.elements] = True
    found = np.full(graphs.n_crystals, "", object)
    strange = np.flatnonzero(~known[graphs.numbers])
    crystals = np.searchsorted(graphs.node_offsets, strange, side="right") - 1
    for crystal in np.unique(crystals):
        numbers = np.unique(graphs.numbers[strange[crystals == crystal]])
        found[crystal] = " ".join(symbols()[number] for number in numbers)
    return found


def are_numbers(predictors: Sequence[Predictor], table: Table) -> NDArray[np.bool_]:
    """Tell which rows hold valid predictions: finite values, whatever is unknown or unbounded beside them."""
    values = [table[name] for predictor in predictors for name in predictor.model.targets.names]
    return np.asarray(np.isfinite(values).all(axis=0))
