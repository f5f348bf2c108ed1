"""Importing JSON and MessagePack archives: rcgcnn's cifs and props, Matbench tasks, pymatgen lists.

Content tells the shape, whatever the encoding:

- {id: structure}: rcgcnn's cifs; properties come from the archive props beside it, or from a table.
- {id: {property: value}}: rcgcnn's props; `read_properties` returns it as a table.
- {"index": [...], "columns": [...], "data": [[structure, value], ...]}: a Matbench task.
- [structure, ...] or [{"material_id": ..., "structure": ..., property: value}, ...]: a pymatgen list.
- one structure.

A structure is a dictionary as pymatgen writes it, or such JSON or a CIF as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import CrystalliteError
from .archive_stream import ArchiveReader, is_archive, open_archive, split_name
from .collecting import Collector, attempted, joined
from .importing import Imported, assemble
from .known_properties import with_known_names, with_units
from .pymatgen_json import crystal_of

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
MATBENCH_KEYS = {"index", "columns", "data"}
STRUCTURE_KEYS = {"lattice", "sites"}


def import_json_or_msgpack(
    source: str | Path,
    table: str | Path | None = None,
    *,
    id_column: str = "material_id",
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Import an archive of crystals, or the one named cifs in a folder.

    table: for {id: structure} a table, or an archive of properties, instead of the props beside it; not for
    shapes with properties of their own. id_column: the key of the ids in a pymatgen list. Units known from
    the names are set; `units` overrides them. Raises CrystalliteError naming file and place.
    """
    path = _archive_in(Path(source))
    collector = Collector()
    with open_archive(path) as reader:
        shape = _read(reader, path, id_column, collector)
    if shape == "cifs":
        return _with_rows(path, collector, table, id_column, units, skip_bad)
    if table is not None:
        raise CrystalliteError(f"--table {table}: {path.name} has properties of its own; leave --table out")
    rows, notices = collector.table(path)
    if shape == "matbench":
        rows, more = _with_task_name(rows, split_name(path)[0])
    else:
        rows, more = with_known_names(rows)
    name = split_name(path)[0]
    return assemble(
        collector.crystals, rows, name=name, skip_bad=skip_bad, notices=[*notices, *more], units=units
    )


def read_properties(path: Path) -> tuple[pa.Table, list[str]]:
    """Return the table (material_id and properties) of an archive {id: {property: value}}, and notices.

    Names, units and rcgcnn's moduli are put right, see known_properties.
    """
    collector = Collector()
    with open_archive(path) as reader:
        for name in reader.members() if reader.is_map() else ():
            value = reader.value()
            if not isinstance(value, dict) or value.keys() >= STRUCTURE_KEYS:
                collector.ids.clear()
                break
            collector.add_properties(name, value)
        if not collector.ids:
            raise CrystalliteError(f"{path}: not an archive of properties, {{id: {{property: value}}}}")
    rows, notices = collector.table(path)
    rows, more = with_known_names(rows)
    return rows, [*notices, *more]


def find_archive(folder: Path, stem: str) -> Path | None:
    """Return the archive of this stem (cifs or props) in a folder, or None.

    Raises CrystalliteError if there are several.
    """
    if not folder.is_dir():
        return None
    named = (path for path in folder.glob(f"{stem}.*") if path.is_file() and is_archive(path))
    found = sorted(path for path in named if split_name(path)[0] == stem)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CrystalliteError(f"{folder}: has {names}; keep one, or import one by its name with --table")
    return found[0] if found else None


def _archive_in(path: Path) -> Path:
    return (find_archive(path, "cifs") or path) if path.is_dir() else path


def _with_rows(
    path: Path,
    collector: Collector,
    table: str | Path | None,
    id_column: str,
    units: Mapping[str, str] | None,
    skip_bad: bool,
) -> Imported:
    """Join the crystals of {id: structure} with the table, or the props beside them."""
    from .tables import read_table

    stem = split_name(path)[0]
    name = path.resolve().parent.name if stem == "cifs" else stem
    if table is None and "cifs" in stem:
        table = find_archive(path.parent, stem.replace("cifs", "props"))
    if table is None:
        rows, _ = collector.table(path)
        return assemble(collector.crystals, rows, name=name, skip_bad=skip_bad, units=units)
    rows = read_table(Path(table), id_column)
    by_id = dict(zip(collector.ids, collector.crystals, strict=True))
    crystals, notices = joined(by_id, rows, str(table), path.name)
    return assemble(crystals, rows, name=name, skip_bad=skip_bad, notices=notices, units=units)


def _read(reader: ArchiveReader, path: Path, id_column: str, collector: Collector) -> str:
    """Fill the collector; return the shape: cifs, matbench or list."""
    if reader.is_list():
        for row, _ in enumerate(_progress(reader.elements())):
            _add_record(reader.value(), row, path, id_column, collector)
        return "list"
    if not reader.is_map():
        raise CrystalliteError(
            f"{path}: neither a dictionary nor a list; see docs/archives.md for the shapes"
        )
    return _read_map(reader, path, collector)


def _read_map(reader: ArchiveReader, path: Path, collector: Collector) -> str:
    single: dict[str, Any] = {}
    matbench: dict[str, list[Any]] = {}
    for key in _progress(reader.members()):
        if key == "data" and not collector.ids:
            _read_rows(reader, path, collector)
            matbench[key] = []
        elif (key in MATBENCH_KEYS and not collector.ids) or matbench:
            matbench[key] = reader.value()
        elif single or key in STRUCTURE_KEYS or key.startswith("@") or key == "charge":
            single[key] = reader.value()
        else:
            _add_member(key, reader.value(), path, collector)
    if matbench:
        _name_rows(path, collector, matbench)
        return "matbench"
    if single:
        collector.add(path.name.partition(".")[0], attempted(crystal_of, single, str(path)), {})
        return "list"
    return "cifs"


def _add_member(name: str, value: Any, path: Path, collector: Collector) -> None:
    if isinstance(value, dict) and not value.keys() & STRUCTURE_KEYS and not collector.ids:
        raise CrystalliteError(
            f"{path}: holds properties, no crystals. Import crystals with it as their table: "
            f"crystallite data import CRYSTALS --table {path} -o DATA.parquet"
        )
    collector.add(name, attempted(crystal_of, value, f"{path}, {name}"), {})


def _add_record(value: Any, row: int, path: Path, id_column: str, collector: Collector) -> None:
    """Add an element of a pymatgen list: a structure, or a record with a structure in it."""
    name, structure, properties = str(row), value, {}
    if isinstance(value, dict) and "structure" in value:
        properties = {key: item for key, item in value.items() if key not in {id_column, "structure"}}
        given = value.get(id_column)
        name, structure = str(row if given is None else given), value["structure"]
    place = f"{path}, element {row + 1}" + (f" ({name})" if name != str(row) else "")
    collector.add(name, attempted(crystal_of, structure, place), properties)


def _read_rows(reader: ArchiveReader, path: Path, collector: Collector) -> None:
    """Read the rows of a Matbench task; properties are named by their place in the row until columns come."""
    for row, _ in enumerate(_progress(reader.elements())):
        cells = reader.value()
        if not isinstance(cells, list):
            raise CrystalliteError(f"{path}: row {row + 1} of data is not a list")
        place = next((i for i, cell in enumerate(cells) if isinstance(cell, dict)), -1)
        properties = {str(i): cell for i, cell in enumerate(cells) if i != place}
        structure = cells[place] if place >= 0 else None
        collector.add(str(row), attempted(crystal_of, structure, f"{path}, row {row + 1}"), properties)


def _name_rows(path: Path, collector: Collector, matbench: Mapping[str, list[Any]]) -> None:
    """Give the rows of a Matbench task the ids in index and the names in columns."""
    missing = MATBENCH_KEYS - matbench.keys()
    if missing:
        raise CrystalliteError(f"{path}: a Matbench task has index, columns and data; {missing} is missing")
    index, columns = matbench["index"], matbench["columns"]
    if "structure" not in columns:
        raise CrystalliteError(f"{path}: no column structure (there are: {', '.join(map(str, columns))})")
    if len(index) != len(collector.ids) or any(int(key) >= len(columns) for key in collector.columns):
        raise CrystalliteError(f"{path}: index, columns and data do not fit together")
    collector.ids = [str(name) for name in index]
    collector.columns = {str(columns[int(key)]): values for key, values in collector.columns.items()}


def _with_task_name(rows: pa.Table, task: str) -> tuple[pa.Table, list[str]]:
    """Name the target of a known Matbench task as we do, with its unit."""
    column, name, unit = MATBENCH_TASKS.get(task, ("", "", ""))
    if column not in rows.column_names:
        return rows, []
    rows = rows.rename_columns([name if old == column else old for old in rows.column_names])
    rows = with_units(rows, {name: unit} if unit else {})
    return rows, [f"{column} is now {name}"] if name != column else []


def _progress(items: Iterator[Any]) -> Iterator[Any]:
    """Yield the items; a bar appears if it takes long."""
    from tqdm import tqdm

    yield from tqdm(items, disable=None, delay=2, unit=" crystals", desc="Reading")
