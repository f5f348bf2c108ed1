"""Importing JSON and MessagePack archives: rcgcnn's cifs and props, Matbench tasks, lists of many kinds.

The shapes of crystals are those of archive_records. Of {id: structure} properties come from the archive props
beside it, or from a table.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ...computing.progress import progress_bar
from ...errors import CrystalliteError
from ..reading.archive_records import Records, read_records
from ..reading.archive_stream import open_archive, split_name
from ..reading.collecting import Collector, joined
from ..reading.input_file import is_folder
from ..reading.known_properties import with_known_names, with_units
from ..reading.structure_files import find_archive
from ..reading.tables import read_table
from .assembling import Imported, assemble
from .import_settings import DEFAULTS, ImportSettings

# column in the file of a Matbench v0.1 task, our name, unit
MATBENCH_TASKS = {
    "matbench_dielectric": ("n", "refractive_index", ""),
    "matbench_jdft2d": ("exfoliation_en", "exfoliation_energy", "meV/atom"),
    "matbench_log_gvrh": ("log10(G_VRH)", "log10_shear_modulus", "log10(GPa)"),
    "matbench_log_kvrh": ("log10(K_VRH)", "log10_bulk_modulus", "log10(GPa)"),
    "matbench_mp_e_form": ("e_form", "formation_energy_per_atom", "eV/atom"),
    "matbench_mp_gap": ("gap pbe", "band_gap", "eV"),
    "matbench_mp_is_metal": ("is_metal", "is_metal", ""),
    "matbench_perovskites": ("e_form", "formation_energy_per_cell", "eV"),
    "matbench_phonons": ("last phdos peak", "last_phonon_dos_peak", "1/cm"),
}


def import_json_or_msgpack(source: str | Path, settings: ImportSettings = DEFAULTS) -> Imported:
    """Import an archive of crystals, or the one named cifs in a folder.

    Args:
        source: The archive or the folder.
        settings: For {id: structure} `table` is a table, or an archive of properties, instead of the props
            beside it; shapes with properties of their own have none. `id_column` is also the key of the ids
            in a pymatgen list. Units known from the names are set; `units` overrides them.

    Returns:
        The dataset, what was left out, and what was odd.

    Raises:
        CrystalliteError: Naming file and place.
    """
    path = _archive_in(Path(source))
    collector = Collector()
    with open_archive(path) as reader:
        shape = _gather(read_records(reader, path, settings.id_column), collector)
    if shape == "cifs":
        return _with_rows(path, collector, settings)
    if settings.table is not None:
        raise CrystalliteError(
            f"--table {settings.table}: {path.name} has properties of its own; leave --table out"
        )
    rows, notices = collector.table(path)
    if shape == "matbench":
        rows, more = _with_task_name(rows, split_name(path)[0])
    else:
        rows, more = with_known_names(rows)
    name = split_name(path)[0]
    return assemble(collector.crystals, rows, settings, name=name, notices=[*notices, *more])


def _archive_in(path: Path) -> Path:
    return (find_archive(path, "cifs") or path) if is_folder(path) else path


def _with_rows(path: Path, collector: Collector, settings: ImportSettings) -> Imported:
    """Join the crystals of {id: structure} with the table, or the props beside them."""
    stem, table = split_name(path)[0], settings.table
    name = path.resolve().parent.name if stem == "cifs" else stem
    if table is None and "cifs" in stem:
        table = find_archive(path.parent, stem.replace("cifs", "props"))
    if table is None:
        rows, _ = collector.table(path)
        return assemble(collector.crystals, rows, settings, name=name)
    rows = read_table(Path(table), settings.id_column)
    why = f"{path.name} has no crystal of this id"
    places = {name: place for place, name in enumerate(collector.ids)}
    crystals, notices = joined(collector.crystals, places, rows, str(table), lambda _: why)
    return assemble(crystals, rows, settings, name=name, notices=notices)


def _gather(records: Records, collector: Collector) -> str:
    """Add all records; return the shape. A bar appears if it takes long."""
    with progress_bar(doing="reading", unit="crystals") as bar:
        while True:
            try:
                record = next(records)
            except StopIteration as end:
                shape: str = end.value
                return shape
            collector.add(*record)
            bar.update()


def _with_task_name(rows: pa.Table, task: str) -> tuple[pa.Table, list[str]]:
    """Name the target of a known Matbench task as we do, with its unit."""
    column, name, unit = MATBENCH_TASKS.get(task, ("", "", ""))
    if column not in rows.column_names:
        return rows, []
    rows = rows.rename_columns([name if old == column else old for old in rows.column_names])
    rows = with_units(rows, {name: unit} if unit else {})
    return rows, [f"{column} is now {name}"] if name != column else []
