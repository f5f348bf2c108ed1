"""Importing folders of CIF files: the published CGCNN layout, or CIFs with a table of properties."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..crystal import Crystal
from ..errors import CrystalError, CrystalliteError
from .importing import Imported, assemble, shortened
from .located import cif_files
from .tables import read_table

CifResult = Crystal | CrystalError


def import_published(
    folder: str | Path,
    *,
    target: str = "target",
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    workers: int = 1,
) -> Imported:
    """Import a folder in the layout of the published CGCNN code.

    folder: has id_prop.csv (no header; id and value in every line), ID.cif for every id, and perhaps
    atom_init.json. target: the name the value gets; an empty value is missing. skip_bad: leave out crystals
    that cannot be used instead of raising CrystalliteError with a list of them. workers: processes reading
    CIFs.
    """
    folder = Path(folder)
    listing = folder / "id_prop.csv"
    ids, values, problems = _read_id_prop(listing)
    files = {name: folder / f"{name}.cif" for name in ids}
    crystals = _crystals(ids, files, str(listing), problems, workers)
    table = pa.table({"material_id": pa.array(ids, pa.string()), target: pa.array(values, pa.float64())})
    notices = [*_unlisted(cif_files(folder), ids, listing.name), *_element_notice(folder / "atom_init.json")]
    return assemble(crystals, table, name=folder.name, skip_bad=skip_bad, notices=notices, units=units)


def import_cifs(
    source: str | Path,
    table: str | Path | None = None,
    *,
    id_column: str = "material_id",
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    workers: int = 1,
) -> Imported:
    """Import CIF files with the properties in a table.

    source: a folder, a CIF, or a pattern such as "cifs/*/*.cif". table: a CSV or Parquet file whose
    id_column has the file names without .cif; its other columns become properties. Without a table the
    dataset has none, and the crystals come in the order of their names. skip_bad and workers as in
    import_published.
    """
    files = cif_files(source)
    if not files:
        raise CrystalliteError(f"{source}: no such folder or no CIF files in it (names ending in .cif)")
    by_id = _by_stem(files)
    name = Path(source).name if Path(source).is_dir() else Path(source).parent.name or "cifs"
    if table is None:
        rows = pa.table({"material_id": pa.array(sorted(by_id), pa.string())})
        notices: list[str] = []
    else:
        rows = read_table(Path(table), id_column)
        notices = _unlisted(files, rows["material_id"].to_pylist(), Path(table).name)
    crystals = _crystals(rows["material_id"].to_pylist(), by_id, str(table or source), {}, workers)
    return assemble(crystals, rows, name=name, skip_bad=skip_bad, notices=notices, units=units)


def _read_id_prop(path: Path) -> tuple[list[str], list[float | None], dict[int, str]]:
    """Return ids, values, and what is wrong with a row, by row."""
    ids: list[str] = []
    values: list[float | None] = []
    problems: dict[int, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.reader(file):
            if not line:
                continue
            value, problem = _value(line)
            if problem:
                problems[len(ids)] = problem
            ids.append(line[0].strip())
            values.append(value)
    if not ids:
        raise CrystalliteError(f"{path}: empty; every line needs an id and a value")
    return ids, values, problems


def _value(line: list[str]) -> tuple[float | None, str]:
    """Return the value of a line of id_prop.csv and what is wrong with it."""
    if len(line) != 2:
        return None, f"{len(line)} columns instead of an id and a value (for several values: --table)"
    try:
        value = float(line[1]) if line[1].strip() else math.nan
    except ValueError:
        return None, f"the value {line[1]!r} is not a number (the file has no header line)"
    return (None if math.isnan(value) else value), "an infinite value" if math.isinf(value) else ""


def _by_stem(files: Sequence[Path]) -> dict[str, Path]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_stem[file.stem].append(file)
    for same in by_stem.values():
        if len(same) > 1:
            raise CrystalliteError(f"{same[0]} and {same[1]} have the same name, which is the crystal's id")
    return {stem: same[0] for stem, same in by_stem.items()}


def _crystals(
    ids: Sequence[str], files: Mapping[str, Path], listing: str, problems: Mapping[int, str], workers: int
) -> list[CifResult]:
    """Return for every id its crystal, or why there is none."""
    wanted = [str(files[name]) for name in dict.fromkeys(ids) if name in files and files[name].is_file()]
    read = dict(zip(wanted, _read_all(wanted, workers), strict=True))
    results: list[CifResult] = []
    for row, name in enumerate(ids):
        place = f"{listing}, row {row + 1} ({name})"
        if row in problems:
            results.append(CrystalError(place, problems[row]))
        else:
            missing = CrystalError(place, f"there is no file {name}.cif")
            results.append(read.get(str(files.get(name)), missing))
    return results


def _read_all(paths: Sequence[str], workers: int) -> Iterator[CifResult]:
    """Read the files in order, in `workers` processes; a progress bar appears if it takes long."""
    from tqdm import tqdm

    bar = {"total": len(paths), "disable": None, "delay": 2, "unit": " CIFs", "desc": "Reading"}
    if workers <= 1 or len(paths) < 2 * workers:
        yield from tqdm(map(_read_one, paths), **bar)
        return
    # spawn: forking a process that already runs the threads of torch or Arrow can hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        chunk = min(200, math.ceil(len(paths) / workers))
        yield from tqdm(pool.map(_read_one, paths, chunksize=chunk), **bar)


def _read_one(path: str) -> CifResult:
    from ..cif import read_cif

    try:
        return read_cif(path)
    except CrystalError as error:
        return error


def _unlisted(files: Sequence[Path], ids: Sequence[str], listing: str) -> list[str]:
    """Return a notice if some of the files have no row."""
    extra = sorted({file.stem for file in files} - set(ids))
    return (
        [f"{len(extra):,} CIFs without a row in {listing} are left out: {shortened(extra)}"] if extra else []
    )


def _element_notice(path: Path) -> list[str]:
    """Return a notice if atom_init.json describes elements otherwise than the standard table."""
    from ..elements import feature_table, symbols

    if not path.is_file():
        return []
    try:
        given = {int(number): row for number, row in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError):
        return [f"{path.name} is not a table of elements; it is not used"]
    table = feature_table()
    standard = dict(zip(range(1, len(table)), table[1:], strict=True))
    other = [n for n, row in given.items() if n not in standard or not np.array_equal(row, standard[n])]
    if not other:
        return []
    named = [symbols()[n] if n in standard else str(n) for n in sorted(other)]
    return [
        f"{path.name} differs from the standard table for {shortened(named)}; "
        "it is not used, training takes the standard table"
    ]
