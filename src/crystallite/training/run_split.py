"""The split of a run: drawn once from its settings, then kept in split.csv, which decides from there on."""

from __future__ import annotations

import csv
import hashlib
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.csv_tables import meant, write_csv
from ..materials.groups import Seen, are_known, groups_of
from ..materials.signatures import Signatures
from ..materials.splits import Split, column_split, fold_split, parse_parts, random_split, without_repeats
from ..runs.folder import SPLIT, DataConfig

_CONSEQUENCES = {
    "validation": "the last epoch is kept, whether or not it is the best",
    "test": "the error of the model stays unknown",
}


def draw_split(
    dataset: Dataset,
    signatures: Signatures,
    usable: NDArray[np.bool_],
    config: DataConfig,
    seen: Seen | None = None,
    given: Split | None = None,
) -> Split:
    """Return the parts that the settings ask for, of the usable crystals, each part in row order.

    given: the parts instead, as a caller named them.

    signatures, usable: of each crystal of the dataset. seen: the materials of a model that the run
    starts from; those that it was trained on are kept out of validation and test, those that it was chosen by
    out of the test. Warns of what is left out, and of sets that come out empty.
    """
    groups = groups_of(dataset.ids, signatures)
    if given is not None:
        split = _declared("split", given, groups, usable)
    elif config.split_column:
        declared = column_split(dataset.labels(config.split_column))
        split = _declared(config.split_column, declared, groups, usable)
    else:
        split = _drawn(groups, usable, config)
    if seen is not None:
        split = _without_seen(split, dataset, signatures, groups, seen)
    if config.train_limit:
        # A column's rows come in the order of the file, which may mean something.
        order = np.random.default_rng(config.split_seed).permutation(split.train)
        if config.train_limit > len(order):
            warnings.warn(
                f"train_limit = {config.train_limit} has no effect: {len(order)} crystals are for training",
                stacklevel=2,
            )
        split = split._replace(train=order[: config.train_limit])
    if not len(split.train):
        raise CrystalliteError(
            f"the split {config.split} of {usable.sum()} crystals with a value leaves the training set empty"
        )
    return Split(*map(np.sort, split))


def split_rows(ids: Sequence[str], split: Split) -> Iterator[tuple[str, str]]:
    """Yield the rows of split.csv: material_id and part of every crystal; no part: not used."""
    parts = np.full(len(ids), "", dtype=object)
    for name, rows in split._asdict().items():
        parts[rows] = name
    yield "material_id", "split"
    yield from zip(ids, parts, strict=True)


def split_fingerprint(ids: Sequence[str], split: Split) -> str:
    """Return SHA-256 (hexadecimal) of the rows of split.csv as plain CSV."""
    digest = hashlib.sha256()
    file: Any = SimpleNamespace(write=lambda text: digest.update(text.encode()))
    csv.writer(file, lineterminator="\n").writerows(split_rows(ids, split))
    return digest.hexdigest()


def write_split(folder: Path, ids: Sequence[str], split: Split) -> None:
    """Write split.csv into a run folder."""
    write_csv(folder / SPLIT, split_rows(ids, split))


def read_split(folder: Path, ids: Sequence[str], config: DataConfig) -> Split:
    """Read the split of a run folder.

    Raises CrystalliteError if it is not the one the run was started with, or of other crystals.
    """
    path = folder / SPLIT
    parts: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            is_ours = next(rows, None) == ["material_id", "split"]
            for name, row in zip_longest(ids, rows, fillvalue=None):
                stored, part = row or (None, "")
                is_ours &= stored is not None and meant(stored) == name
                parts.append(sys.intern(part))
    except (OSError, ValueError, csv.Error) as error:
        raise CrystalliteError(f"{path}: not a readable split: {error}; start a new run") from error
    if not is_ours:
        raise CrystalliteError(
            f"{path}: the split is of other crystals than the dataset holds; start a new run"
        )
    split = column_split(parts)
    if config.split_fingerprint not in ("", split_fingerprint(ids, split)):  # none in folders of 0.1.0
        raise CrystalliteError(f"{path} has changed since the run was started; start a new one")
    return split


def _declared(name: str, parts: Split, groups: NDArray[np.int64], usable: NDArray[np.bool_]) -> Split:
    """Return the usable crystals of the parts, less what repeats a held-out material; name: of the parts."""
    declared = Split(*(part[usable[part]] for part in parts))
    split = without_repeats(declared, groups)
    n_left_out = sum(map(len, declared)) - sum(map(len, split))
    if n_left_out:
        warnings.warn(
            f"{name}: {n_left_out} training or validation crystals repeat materials of "
            "a set that is held out from them and are not used",
            stacklevel=2,
        )
    return split


def _drawn(groups: NDArray[np.int64], usable: NDArray[np.bool_], config: DataConfig) -> Split:
    """Return a fold or a random split of the usable crystals."""
    rows = np.flatnonzero(usable)
    groups = np.unique(groups[rows], return_inverse=True)[1]
    fold = re.fullmatch(r"fold (\d+) of (\d+)", config.split)
    if fold:
        parts = fold_split(groups, int(fold[1]), int(fold[2]), config.split_seed)
        return Split(*(rows[part] for part in parts))
    wanted = parse_parts(config.split)
    split = Split(*(rows[part] for part in random_split(groups, wanted, config.split_seed)))
    empty = [
        name for name in ("validation", "test") if getattr(wanted, name) and not len(getattr(split, name))
    ]
    if empty:
        warnings.warn(
            f"the split {config.split} of {len(rows)} crystals ({len(np.unique(groups))} materials) leaves "
            f"the {' and '.join(empty)} {'sets' if empty[1:] else 'set'} empty: "
            f"{' and '.join(_CONSEQUENCES[name] for name in empty)}",
            stacklevel=2,
        )
    return split


def _without_seen(
    split: Split, dataset: Dataset, signatures: Signatures, groups: NDArray[np.int64], seen: Seen
) -> Split:
    """Keep materials out of the parts they would make look too good."""
    trained, chosen = (np.isin(groups, groups[are_known(dataset.ids, signatures, hashes)]) for hashes in seen)
    kept = split._replace(
        validation=split.validation[~trained[split.validation]],
        test=split.test[~(trained | chosen)[split.test]],
    )
    lost = {name: len(getattr(split, name)) - len(getattr(kept, name)) for name in ("validation", "test")}
    for name in ("validation", "test"):
        if lost[name] and not len(getattr(kept, name)):
            raise CrystalliteError(
                f"the model to start from was trained on all {lost[name]} crystals of the {name} set; take "
                "its own split (same data, --split and --seed) or crystals that it has not seen"
            )
    if any(lost.values()):
        warnings.warn(
            f"the model to start from has seen {lost['validation']} validation and {lost['test']} test "
            "crystals in its own training run; they are not used",
            stacklevel=2,
        )
    return kept
