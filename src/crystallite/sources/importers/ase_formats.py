"""Importing what ASE reads: its databases (.db) and extended XYZ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...computing.progress import progress_bar
from ...errors import CrystalliteError
from ..reading.ase_formats import read_ase
from ..reading.collecting import Collector
from ..reading.input_file import problem_of, shown
from .assembling import Imported, assemble
from .import_settings import DEFAULTS, ImportSettings


def import_with_ase(source: str | Path, settings: ImportSettings = DEFAULTS) -> Imported:
    """Import an ASE database or an extended XYZ file.

    Args:
        source: The file.
        settings: No `table`, as these files have properties. Without `id_column` the ids are those of the
            database or 0, 1, ...

    Returns:
        The dataset, what was left out, and what was odd.

    Raises:
        CrystalliteError: Naming the file, and how to install ASE if it is missing.
    """
    path = Path(source)
    if settings.table is not None:
        raise CrystalliteError(
            f"--table {settings.table}: {path.name} has properties of its own; leave --table out"
        )
    problem = problem_of(path)
    if problem:
        raise CrystalliteError(f"{shown(path)}: {problem}")
    collector = Collector()
    found: dict[str, str] = {}
    for record in progress_bar(read_ase(path, settings.id_column, found), doing="reading", unit="crystals"):
        collector.add(*record)
    rows, notices = collector.table(path)
    known = {name: unit for name, unit in found.items() if name in rows.column_names}
    settings = replace(settings, units={**known, **settings.units})
    return assemble(collector.crystals, rows, settings, name=path.name.partition(".")[0], notices=notices)
