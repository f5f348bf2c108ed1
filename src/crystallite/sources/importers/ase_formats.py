"""Importing what ASE reads: its databases (.db) and extended XYZ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...computing.progress import progress_bar
from ...errors import CrystalliteError
from ..reading.ase_formats import ID_KEY, read_ase
from ..reading.collecting import Collector
from ..reading.input_file import problem_of, shown
from .assembling import Imported, assemble


def import_with_ase(
    source: str | Path,
    table: str | Path | None = None,
    *,
    id_column: str = ID_KEY,
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Import an ASE database or an extended XYZ file.

    table: refused, as these files have properties. id_column: key of the ids; without it the ids are those of
    the database or 0, 1, ... Raises CrystalliteError naming the file, and how to install ASE if it is
    missing.
    """
    path = Path(source)
    if table is not None:
        raise CrystalliteError(f"--table {table}: {path.name} has properties of its own; leave --table out")
    problem = problem_of(path)
    if problem:
        raise CrystalliteError(f"{shown(path)}: {problem}")
    collector = Collector()
    found: dict[str, str] = {}
    for record in progress_bar(read_ase(path, id_column, found), doing="reading", unit="crystals"):
        collector.add(*record)
    rows, notices = collector.table(path)
    known = {name: unit for name, unit in found.items() if name in rows.column_names}
    name, units = path.name.partition(".")[0], {**known, **(units or {})}
    return assemble(collector.crystals, rows, name=name, skip_bad=skip_bad, notices=notices, units=units)
