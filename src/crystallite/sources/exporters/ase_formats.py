"""Writing datasets as ASE databases and extended XYZ.

Both hold Cartesian positions, so fractional coordinates come back rounded in the last digits.
"""

from __future__ import annotations

import json
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...crystals.crystal import Crystal
from ...crystals.elements import symbols
from ...datasets.dataset import Dataset
from ...errors import CrystalliteError, shortened
from ...files.writing import atomic_path
from ..reading.ase_formats import ID_KEY, UNITS_KEY, ase_module
from .archives import crystals_of, property_names, records

XYZ_KEYS = {"Lattice", "Properties", "pbc", "virial", "stress", "uid", UNITS_KEY, ID_KEY}
PLAIN_TEXT = re.compile(r"[A-Za-z]\w*(-\w+)*")
NOT_TEXT = {"t", "f", "true", "false", "nan", "inf", "infinity"}  # what ASE reads as a truth value or number


def export_extxyz(dataset: Dataset, path: Path) -> list[str]:
    """Write an extended XYZ file, one frame per crystal, with ids, properties and units in the comment lines.

    Missing values are left out. Raises CrystalliteError for properties whose names mean something else there.
    """
    taken = [name for name in property_names(dataset) if name in XYZ_KEYS]
    if taken:
        raise CrystalliteError(f"extended XYZ has another meaning for {', '.join(taken)}: rename it first")
    units = _pair(UNITS_KEY, dataset.units) if dataset.units else ""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        rows = zip(dataset.ids, crystals_of(dataset), records(dataset), strict=True)
        for name, crystal, record in rows:
            pairs = [_pair(key, value) for key, value in record.items() if value is not None]
            comment = " ".join(filter(None, [_pair(ID_KEY, name), *pairs, units]))
            file.write(_frame(crystal, comment))
    return []


def export_ase_database(dataset: Dataset, path: Path) -> list[str]:
    """Write an ASE database: ids and properties as key-value pairs, units in the key descriptions.

    Raises CrystalliteError for names and texts that ASE does not allow.
    """
    core, atoms_of = ase_module("ase.db.core"), ase_module("ase").Atoms
    connect = ase_module("ase.db").connect
    _check_names(dataset, core)
    with atomic_path(path) as temporary, warnings.catch_warnings(), _sqlite_errors():
        warnings.filterwarnings("ignore", "It is best not to use keys")
        with connect(temporary, type="db", use_lock_file=False) as database:
            rows = zip(dataset.ids, crystals_of(dataset), records(dataset), strict=True)
            for name, crystal, record in rows:
                pairs = {ID_KEY: _identity(name), **{k: v for k, v in record.items() if v is not None}}
                atoms = atoms_of(
                    numbers=crystal.numbers,
                    cell=crystal.lattice,
                    positions=crystal.frac_coords @ crystal.lattice,
                    pbc=True,
                )
                try:
                    database.write(atoms, key_value_pairs=pairs)
                except ValueError as error:
                    raise CrystalliteError(f"{name}: an ASE database cannot hold it: {error}") from None
        database.metadata = {
            "title": dataset.metadata.get("title", dataset.name),
            "key_descriptions": {key: (key, "", unit) for key, unit in dataset.units.items()},
        }
    return []


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    """Turn what SQLite says of a full or broken disk into an OSError."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _check_names(dataset: Dataset, core: Any) -> None:
    names = property_names(dataset)
    bad = [n for n in names if not core.word.match(n) or n in core.reserved_keys or n == "external_tables"]
    if bad:
        raise CrystalliteError(
            f"ASE databases do not allow these names: {shortened(bad)}; rename the columns (letters, digits, "
            "_; no element, and none of ASE's own, such as energy)"
        )


def _identity(name: str) -> str | int:
    """The id as ASE allows it: a number where it looks like one and reads back the same."""
    try:
        return int(name) if str(int(name)) == name else name
    except ValueError:
        return name


def _frame(crystal: Crystal, comment: str) -> str:
    lattice = " ".join(map(repr, crystal.lattice.ravel().tolist()))
    positions = np.asarray(crystal.frac_coords @ crystal.lattice).tolist()
    names = symbols()
    atoms = [
        f"{names[number]} {x!r} {y!r} {z!r}\n"
        for number, (x, y, z) in zip(crystal.numbers.tolist(), positions, strict=True)
    ]
    head = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 {comment} pbc="T T T"'
    return f"{len(crystal)}\n{head}\n{''.join(atoms)}"


def _pair(key: str, value: Any) -> str:
    """Return key=value so that ASE reads back the same value of the same type."""
    if not re.fullmatch(r"\w+", key):
        key = _quoted(key)
    if isinstance(value, bool):
        return f"{key}={'T' if value else 'F'}"
    if isinstance(value, (int, float)):
        return f"{key}={value!r}"
    if isinstance(value, str) and PLAIN_TEXT.fullmatch(value) and value.lower() not in NOT_TEXT:
        return f"{key}={value}"
    return f"{key}={_quoted(f'_JSON {json.dumps(value)}')}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
