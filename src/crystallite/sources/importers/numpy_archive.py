"""Importing crystals from a NumPy archive (.npz) of flat arrays, with properties from a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from ...errors import CrystalliteError
from ..reading.collecting import joined
from ..reading.numpy_archive import read_crystals
from ..reading.tables import read_table
from .assembling import Imported, assemble


def import_archive(
    source: str | Path,
    table: str | Path | None = None,
    *,
    id_column: str = "material_id",
    units: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Import an .npz archive.

    source: the archive, or a folder with structures.npz. It holds `ids (N,)`, `lattice (N, 3, 3)` with rows
    = lattice vectors in Å, `offsets (N + 1,)`, `numbers (n,)` atomic numbers and `frac (n, 3)` fractional
    coordinates; crystal k owns the atoms offsets[k] to offsets[k + 1]. table: a CSV or Parquet file with the
    properties; in a folder props.csv is taken if none is given. Raises CrystalliteError as import_cifs.
    """
    path = Path(source)
    if path.is_dir():
        table = table or _table_beside(path)
        path = path / "structures.npz"
    found = dict(read_crystals(path))
    notices: list[str] = []
    if table is None:
        rows = pa.table({"material_id": pa.array(list(found), pa.string())})
        crystals = list(found.values())
    else:
        rows = read_table(Path(table), id_column)
        why = f"{path.name} has no crystal of this id"
        crystals, notices = joined(found, rows, str(table), lambda _: why)
    name = path.parent.name if path.stem == "structures" else path.stem
    return assemble(crystals, rows, name=name, skip_bad=skip_bad, notices=notices, units=units)


def _table_beside(folder: Path) -> Path | None:
    if (folder / "props.csv").is_file():
        return folder / "props.csv"
    found = sorted(folder.glob("*.csv"))
    if found:
        raise CrystalliteError(
            f"{folder}: choose the table: {' or '.join(f'--table {name}' for name in found)}"
        )
    return None
