"""Importing what ASE reads: its databases (.db) and extended XYZ.

From a database only numbers, positions, cell, key-value pairs and energy are read; no object is unpickled or
rebuilt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ...crystals.crystal import Crystal, as_crystal, as_numbers, check_crystal, fractional
from ...errors import CrystalError, CrystalliteError, one_line
from ...extras import needed
from .archive_stream import COMPRESSIONS, unpacked
from .frames import each_frame
from .input_file import text_of
from .record import Record, attempted
from .structure_shapes import id_text

ID_KEY = "material_id"
UNITS_KEY = "property_units"  # of extended XYZ: unit by property
MOST_COLUMNS = 1000  # that a property of extended XYZ may have
COLUMNS = ["id", "numbers", "positions", "cell", "pbc", "energy", "key_value_pairs"]


def read_ase(path: Path, id_column: str, units: dict[str, str] | None = None) -> Iterator[Record]:
    """Yield the crystals of a database (.db) or an extended XYZ file; fill `units` with those it names.

    Raises CrystalliteError naming the file if it cannot be read further.
    """
    units = {} if units is None else units
    yield from (_database if path.suffix.lower() == ".db" else _extended_xyz)(path, id_column, units)


def ase_module(name: str) -> Any:
    """Return a module of ASE; raises CrystalliteError if ASE is not installed."""
    return needed(name, "this format", "crystallite[ase]")


def _database(path: Path, id_column: str, units: dict[str, str]) -> Iterator[Record]:
    import sqlite3

    try:
        database = ase_module("ase.db").connect(path, type="db", use_lock_file=False)
        described = database.metadata.get("key_descriptions", {})
        units |= {"energy": "eV", **{key: texts[2] for key, texts in described.items() if texts[2]}}
        for row in database.select(columns=COLUMNS, include_data=False):
            pairs = {key: _scalar(value) for key, value in row.key_value_pairs.items()}
            if "energy" in row:
                pairs.setdefault("energy", row.energy)
            name = str(pairs.pop(id_column, row.id))
            yield Record(name, attempted(_row_crystal, row, f"{path}, {name}"), pairs)
    except (sqlite3.Error, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise CrystalliteError(f"{path}: not a readable ASE database: {error}") from None


def _row_crystal(row: Any, source: str) -> Crystal:
    if not all(row.pbc):
        raise CrystalError(source, "not periodic in three directions")
    lattice = np.array(row.cell, np.float64)
    coords = fractional(np.asarray(row.positions, np.float64), lattice, source)
    crystal = Crystal(as_numbers(row.numbers), lattice, coords)
    check_crystal(crystal, source)
    return crystal


def _extended_xyz(path: Path, id_column: str, units: dict[str, str]) -> Iterator[Record]:
    if path.suffix.lower() in COMPRESSIONS:
        yield from parse_extended_xyz(text_of(unpacked(path))[0], path, id_column, units)
        return
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        yield from _each_record(lines, path, id_column, units)


def parse_extended_xyz(
    text: str, path: Path, id_column: str, units: dict[str, str] | None = None
) -> Iterator[Record]:
    """Yield the crystals of the text of an extended XYZ file, which `path` names; see `read_ase`."""
    yield from _each_record(StringIO(text), path, id_column, {} if units is None else units)


def _each_record(lines: TextIO, path: Path, id_column: str, units: dict[str, str]) -> Iterator[Record]:
    for number, frame in enumerate(each_frame(lines, str(path))):
        yield frame_record(frame, path, id_column, number, units)


def frame_record(
    frame: str | CrystalError, path: Path, id_column: str, number: int, units: dict[str, str] | None = None
) -> Record:
    """Return the crystal of a frame of `each_frame`, number `number` from 0 of the file that `path` names."""
    place = f"{path}, crystal {number + 1}"
    if isinstance(frame, CrystalError):
        return Record(str(number), frame, {})
    parse = _comment_parser(id_column)
    try:
        atoms = ase_module("ase.io").read(StringIO(frame), format="extxyz", properties_parser=parse)
    except CrystalliteError:  # ASE is not installed
        raise
    except Exception as error:  # ASE's readers raise whatever a malformed line leads to
        return Record(str(number), CrystalError(place, f"not extended XYZ: {one_line(error)}"), {})
    results = atoms.calc.results if atoms.calc is not None else {}
    pairs = {key: _scalar(value) for key, value in atoms.info.items()}
    pairs |= {key: _scalar(value) for key, value in results.items() if np.ndim(value) == 0}
    named = pairs.pop(UNITS_KEY, None)
    if units is not None and isinstance(named, dict):
        units |= named
    given = pairs.pop(id_column, None)
    try:
        name = str(number) if given is None else id_text(given) or ""
    except ValueError as error:
        return Record(str(number), CrystalError(place, str(error)), pairs)
    place += f" ({name})" if name != str(number) else ""
    return Record(name, attempted(as_crystal, atoms, place), pairs)


def _comment_parser(id_column: str) -> Callable[[str], dict[str, Any]]:
    """Return ASE's parser of comment lines, but one that leaves an id such as 00123 as it is."""
    parse = ase_module("ase.io.extxyz").key_val_str_to_dict
    written = re.compile(rf'(?:^|\s){re.escape(id_column)}\s*=\s*("?)([^\s"\\]+)\1(?=\s|$)')

    def parse_comment(line: str) -> dict[str, Any]:
        pairs: dict[str, Any] = parse(line)
        for columns in str(pairs.get("Properties", "")).split(":")[2::3]:
            if columns.isdecimal() and int(columns) > MOST_COLUMNS:
                raise ValueError(f"Properties: {columns} columns; at most {MOST_COLUMNS:,} are read")
        value = pairs.get(id_column)
        if value is not None and not isinstance(value, str):
            texts = (match[2] for match in written.finditer(line))
            pairs[id_column] = next(
                (text for text in texts if repr(parse(f"x={text}")["x"]) == repr(value)), value
            )
        return pairs

    return parse_comment


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
