"""What is in a list of ids or a dataset more than once, and what of it would leak across a split."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.csv_tables import meant, write_csv
from ..graphs.packed import Indices
from ..graphs.store import dataset_graphs
from ..settings.config import GraphConfig
from .groups import material_groups
from .splits import Split, column_split


@dataclass(frozen=True)
class IdAudit:
    """A list of ids looked up in a map. ids and materials have the same length; an id without an entry in
    the map (`unknown`) counts as a material of its own.
    """

    ids: list[str]
    materials: list[str]
    unknown: list[str]

    @property
    def n_materials(self) -> int:
        """The number of distinct materials."""
        return len(set(self.materials))

    @property
    def groups(self) -> dict[str, list[str]]:
        """Material -> the listed ids that are it, for materials listed more than once."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, material in zip(self.ids, self.materials, strict=True):
            found[material].append(name)
        return {material: names for material, names in found.items() if len(names) > 1}


class Leak(NamedTuple):
    """Crystals of a split that have a twin (the same material) in an earlier set.

    test, validation: sizes. test_in_train, validation_in_train, test_in_validation: how many crystals of the
    first set have a twin in the second. groups: materials that lie in more than one set.
    """

    validation: int
    test: int
    validation_in_train: int
    test_in_train: int
    test_in_validation: int
    groups: int


def audit_ids(ids: Sequence[str], id_map: Mapping[str, str]) -> IdAudit:
    """Find the ids that are the same material today. id_map: id -> today's id."""
    materials = [id_map.get(name, name) for name in ids]
    today = set(id_map.values())
    unknown = [name for name in ids if name not in id_map and name not in today]
    return IdAudit(list(ids), materials, unknown)


def find_groups(dataset: Dataset, *, workers: int = 1, progress: bool = False) -> Indices:
    """Return (N,) group numbers, equal for crystals that are the same material: what splitting uses."""
    graphs = dataset_graphs(dataset, GraphConfig(), workers=workers, progress=progress)
    return material_groups(dataset.ids, graphs)


def repeated(groups: Indices) -> list[Indices]:
    """Return the rows of every group with more than one crystal, the largest group first."""
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    found = [rows for rows in np.split(order, bounds) if len(rows) > 1]
    return sorted(found, key=lambda rows: (-len(rows), rows[0]))


def find_leak(groups: Indices, split: Split) -> Leak:
    """Count the crystals that lie in one set while the same material lies in an earlier one."""
    train, validation, test = (set(groups[part].tolist()) for part in split)

    def twins(rows: Indices, others: set[int]) -> int:
        return sum(int(group) in others for group in groups[rows])

    in_parts = Counter(group for part in (train, validation, test) for group in part)
    return Leak(
        validation=len(split.validation),
        test=len(split.test),
        validation_in_train=twins(split.validation, train),
        test_in_train=twins(split.test, train),
        test_in_validation=twins(split.test, validation),
        groups=sum(count > 1 for count in in_parts.values()),
    )


def read_split(path: str | Path, ids: Sequence[str]) -> Split:
    """Read a CSV with the columns material_id and split (train, validation or val, test; empty: not used).

    ids: of the dataset. A row counts for the crystal of its id; when an id is there several times in both,
    its rows count in their order. Raises CrystalliteError for other columns and for ids of another dataset.
    """
    path = Path(path)
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CrystalliteError(f"{path}: not a readable CSV table: {error}") from None
    if not rows or not {"material_id", "split"} <= set(rows[0]):
        raise CrystalliteError(f"{path}: a split file has the columns material_id and split")
    labels: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        labels[meant(row["material_id"] or "")].append(row["split"])
    strangers = sorted(set(labels) - set(ids))
    if strangers:
        raise CrystalliteError(
            f"{path}: {len(strangers):,} ids are not in the dataset, such as {strangers[0]}; "
            "is it the split of another one?"
        )
    return column_split([_next_label(labels.get(name)) for name in ids])


def write_id_audit(path: str | Path, audit: IdAudit) -> None:
    """Write a CSV of all ids, their material and the size of its group (1: not repeated)."""
    sizes = Counter(audit.materials)
    rows = ([i, m, sizes[m]] for i, m in zip(audit.ids, audit.materials, strict=True))
    write_csv(path, [["id", "material_id", "ids_of_material"], *rows])


def write_groups(
    path: str | Path,
    dataset: Dataset,
    groups: Sequence[Indices],
    parts: Sequence[str] | None = None,
    properties: Sequence[str] = (),
) -> None:
    """Write a CSV of the repeated crystals, one row each: group, material_id, row in the dataset, formula,
    atoms of the cell, then the set of a split if given and the values of `properties`.
    """
    ids = dataset.ids
    columns: list[tuple[str, Sequence[Any]]] = [("split", parts)] if parts is not None else []
    columns += [
        (name, ["" if value is None else value for value in dataset.labels(name)]) for name in properties
    ]
    head = ["group", "material_id", "row", "formula", "atoms", *(name for name, _ in columns)]
    rows = (
        [
            number,
            ids[row],
            row,
            crystal.formula,
            len(crystal),
            *(values[row] for _, values in columns),
        ]
        for number, members in enumerate(groups, start=1)
        for row in members.tolist()
        for crystal in [dataset.crystal(row)]
    )
    write_csv(path, [head, *rows])


def spread(values: NDArray[np.float64], groups: Sequence[Indices]) -> NDArray[np.float64]:
    """Return the largest difference of a property inside each group, (groups,), NaN where fewer than two
    crystals have a value.
    """
    known = [values[rows][np.isfinite(values[rows])] for rows in groups]
    return np.array([np.ptp(present) if len(present) > 1 else np.nan for present in known], dtype=np.float64)


def part_names(split: Split, n_crystals: int) -> list[str]:
    """Return the set of every crystal, "" where it is in none."""
    names = [""] * n_crystals
    for part, rows in split._asdict().items():
        for row in rows.tolist():
            names[row] = part
    return names


def _next_label(labels: list[str] | None) -> str | None:
    """Take the next label of an id; the last one stays for all further crystals of that id."""
    if not labels:
        return None
    return labels.pop(0) if len(labels) > 1 else labels[0]
