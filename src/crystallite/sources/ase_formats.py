"""Importing what ASE reads: its databases (.db), extended XYZ, and folders of POSCAR and CONTCAR files.

From a database only numbers, positions, cell, key-value pairs and energy are read; no object is unpickled or
rebuilt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..crystal import Crystal, as_crystal, check_crystal
from ..errors import CrystalError, CrystalliteError
from ..extras import needed
from .collecting import Collector, CrystalResult, attempted, joined
from .importing import Imported, assemble

ENDINGS = {".db", ".xyz", ".extxyz"}
POSCAR_NAMES = ("POSCAR", "CONTCAR")  # also with an ending or a suffix: POSCAR_mp-149, mp-149.vasp
POSCAR_ENDINGS = {".vasp", ".poscar", ".contcar"}
ID_KEY = "material_id"
UNITS_KEY = "property_units"  # of extended XYZ: unit by property
COLUMNS = ["id", "numbers", "positions", "cell", "pbc", "energy", "key_value_pairs"]


def import_with_ase(
    source: str | Path,
    table: str | Path | None = None,
    *,
    id_column: str = ID_KEY,
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Import an ASE database, an extended XYZ file, or a folder of POSCAR and CONTCAR files.

    table: CSV, Parquet or archive with the properties, for POSCARs only; their ids are the part of the file's
    name that is not POSCAR, CONTCAR or an ending, or else the name of the folder. id_column: key of the ids
    in a database or extended XYZ file; without it the ids are those of the database or 0, 1, ... Raises
    CrystalliteError naming the file, and how to install ASE if it is missing.
    """
    path = Path(source)
    if path.suffix.lower() not in ENDINGS:
        return _poscars(path, table, id_column, units, skip_bad)
    if table is not None:
        raise CrystalliteError(f"--table {table}: {path.name} has properties of its own; leave --table out")
    if not path.is_file():
        raise CrystalliteError(f"{path}: no such file")
    collector = Collector()
    read = _read_database if path.suffix.lower() == ".db" else _read_extended_xyz
    found = read(path, id_column, collector)
    rows, notices = collector.table(path)
    found = {name: unit for name, unit in found.items() if name in rows.column_names}
    return assemble(
        collector.crystals,
        rows,
        name=path.stem,
        skip_bad=skip_bad,
        notices=notices,
        units={**found, **(units or {})},
    )


def poscar_files(path: Path) -> dict[str, list[Path]]:
    """Return the POSCAR and CONTCAR files of a folder and the folders in it by id; none if it has CIFs.

    A path that is such a file is the only one.
    """
    if path.is_file():
        return {_poscar_id(path): [path]} if _is_poscar(path) else {}
    entries = sorted(path.iterdir()) if path.is_dir() else []
    if any(entry.suffix.lower() == ".cif" for entry in entries):
        return {}
    files = [entry for entry in entries if _is_poscar(entry) and entry.is_file()]
    for folder in entries:
        if folder.is_dir():
            files += [folder / name for name in POSCAR_NAMES if (folder / name).is_file()]
    by_id: dict[str, list[Path]] = {}
    for file in files:
        by_id.setdefault(_poscar_id(file), []).append(file)
    return by_id


def ase_module(name: str) -> Any:
    """Return a module of ASE; raises CrystalliteError if ASE is not installed."""
    return needed(name, "this format", "crystallite[ase]")


def _read_database(path: Path, id_column: str, collector: Collector) -> dict[str, str]:
    """Fill the collector with the rows; return units from the database's key descriptions."""
    import sqlite3

    try:
        database = ase_module("ase.db").connect(path, type="db", use_lock_file=False)
        for row in _progress(database.select(columns=COLUMNS, include_data=False)):
            pairs = {key: _scalar(value) for key, value in row.key_value_pairs.items()}
            if "energy" in row:
                pairs.setdefault("energy", row.energy)
            name = str(pairs.pop(id_column, row.id))
            collector.add(name, attempted(_row_crystal, row, f"{path}, {name}"), pairs)
        described = database.metadata.get("key_descriptions", {})
        return {"energy": "eV", **{key: texts[2] for key, texts in described.items() if texts[2]}}
    except (sqlite3.Error, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise CrystalliteError(f"{path}: not a readable ASE database: {error}") from None


def _row_crystal(row: Any, source: str) -> Crystal:
    if not all(row.pbc):
        raise CrystalError(source, "not periodic in three directions")
    numbers, lattice = np.asarray(row.numbers), np.array(row.cell, np.float64)
    if abs(np.linalg.det(lattice)) == 0:
        raise CrystalError(source, "the cell has no volume")
    outside = (numbers < 1) | (numbers > 255)  # 0 is no element either, and says so
    coords = np.linalg.solve(lattice.T, np.asarray(row.positions, np.float64).T).T
    crystal = Crystal(np.where(outside, 0, numbers).astype(np.uint8), lattice, np.ascontiguousarray(coords))
    check_crystal(crystal, source)
    return crystal


def _read_extended_xyz(path: Path, id_column: str, collector: Collector) -> dict[str, str]:
    """Fill the collector with the frames; return the units they name."""
    units: dict[str, str] = {}
    parse = _comment_parser(id_column)
    read = ase_module("ase.io").iread(path, index=":", format="extxyz", properties_parser=parse)
    for frame, atoms in enumerate(_progress(_frames(read, path))):
        results = atoms.calc.results if atoms.calc is not None else {}
        pairs = {key: _scalar(value) for key, value in atoms.info.items()}
        pairs |= {key: _scalar(value) for key, value in results.items() if np.ndim(value) == 0}
        named = pairs.pop(UNITS_KEY, None)
        units |= named if isinstance(named, dict) else {}
        name = str(pairs.pop(id_column, frame))
        place = f"{path}, crystal {frame + 1}" + (f" ({name})" if name != str(frame) else "")
        collector.add(name, attempted(as_crystal, atoms, place), pairs)
    return units


def _comment_parser(id_column: str) -> Callable[[str], dict[str, Any]]:
    """Return ASE's parser of comment lines, but one that leaves an id such as 00123 as it is."""
    parse = ase_module("ase.io.extxyz").key_val_str_to_dict
    written = re.compile(rf'(?:^|\s){re.escape(id_column)}\s*=\s*("?)([^\s"\\]+)\1(?=\s|$)')

    def parse_comment(line: str) -> dict[str, Any]:
        pairs: dict[str, Any] = parse(line)
        match = written.search(line)
        return {**pairs, id_column: match[2]} if match else pairs

    return parse_comment


def _frames(read: Iterator[Any], path: Path) -> Iterator[Any]:
    frame = 0
    while True:
        frame += 1
        try:
            atoms = next(read)
        except StopIteration:
            return
        except Exception as error:  # ASE's readers raise whatever a malformed line leads to
            raise CrystalliteError(f"{path}, crystal {frame}: not extended XYZ: {error}") from None
        yield atoms


def _poscars(
    path: Path, table: str | Path | None, id_column: str, units: Mapping[str, str] | None, skip_bad: bool
) -> Imported:
    from .tables import read_table

    files = poscar_files(path)
    chosen, notices = _chosen(files)
    read = ase_module("ase.io").read
    crystals = {name: _poscar(file, read) for name, file in _progress(iter(chosen.items()))}
    name = path.name if path.is_dir() else _poscar_id(path)
    if table is None:
        rows = pa.table({"material_id": pa.array(list(crystals), pa.string())})
        return assemble(list(crystals.values()), rows, name=name, skip_bad=skip_bad, notices=notices)
    rows = read_table(Path(table), id_column)
    results, more = joined(crystals, rows, str(table), path.name)
    return assemble(results, rows, name=name, skip_bad=skip_bad, notices=[*notices, *more], units=units)


def _chosen(files: Mapping[str, list[Path]]) -> tuple[dict[str, Path], list[str]]:
    """Return one file for each id: the CONTCAR, which is the relaxed one, unless it is empty."""
    chosen, relaxed = {}, 0
    for name, same in files.items():
        by_kind = {file.name: file for file in same}
        if len(same) > 1 and set(by_kind) != set(POSCAR_NAMES):
            raise CrystalliteError(f"{same[0]} and {same[1]} would have the same id, {name}; rename one")
        contcar = by_kind.get("CONTCAR")
        takes_contcar = len(same) > 1 and contcar is not None and contcar.stat().st_size > 0
        relaxed += takes_contcar
        chosen[name] = contcar if takes_contcar and contcar else by_kind.get("POSCAR", same[0])
    notice = f"{relaxed:,} folders have POSCAR and CONTCAR: CONTCAR, the relaxed structure, is taken"
    return chosen, [notice] if relaxed else []


def _poscar(file: Path, read: Callable[..., Any]) -> CrystalResult:
    try:
        return as_crystal(read(file, format="vasp"), str(file))
    except CrystalError as error:
        return error
    except Exception as error:  # ASE's readers raise whatever a malformed line leads to
        return CrystalError(str(file), f"not a readable POSCAR: {error}")


def _is_poscar(file: Path) -> bool:
    return file.name.startswith(POSCAR_NAMES) or file.suffix.lower() in POSCAR_ENDINGS


def _poscar_id(file: Path) -> str:
    rest = file.stem if file.suffix.lower() in POSCAR_ENDINGS else file.name
    for name in POSCAR_NAMES:
        rest = rest.removeprefix(name)
    return rest.strip("._-") or file.resolve().parent.name


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _progress(items: Iterator[Any]) -> Iterator[Any]:
    from tqdm import tqdm

    yield from tqdm(items, disable=None, delay=2, unit=" crystals", desc="Reading")
