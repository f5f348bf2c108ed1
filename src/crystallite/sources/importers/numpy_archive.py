"""Importing crystals from a NumPy archive (.npz) of flat arrays, with properties from a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ...errors import CrystalliteError
from ..reading.collecting import joined
from ..reading.crystal_pile import CrystalPile
from ..reading.numpy_archive import read_crystals
from ..reading.tables import read_table
from .assembling import Imported, assemble
from .import_settings import DEFAULTS, ImportSettings


def import_archive(source: str | Path, settings: ImportSettings = DEFAULTS) -> Imported:
    """Import an .npz archive.

    Args:
        source: The archive, or a folder with structures.npz. It holds `ids (N,)`, `lattice (N, 3, 3)` with
            rows = lattice vectors in Å, `offsets (N + 1,)`, `numbers (n,)` atomic numbers and `frac (n, 3)`
            fractional coordinates; crystal k owns the atoms offsets[k] to offsets[k + 1].
        settings: In a folder props.csv is taken if no `table` is given.

    Returns:
        The dataset, what was left out, and what was odd.

    Raises:
        CrystalliteError: For a file that cannot be read, naming it, and for crystals that cannot be used.
    """
    path, table = Path(source), settings.table
    if path.is_dir():
        table = table or _table_beside(path)
        path = path / "structures.npz"
    found = dict(read_crystals(path))
    crystals, notices = CrystalPile(found.values()), list[str]()
    if table is None:
        rows = pa.table({"material_id": pa.array(list(found), pa.string())})
    else:
        rows = read_table(Path(table), settings.id_column)
        why = f"{path.name} has no crystal of this id"
        places = {name: place for place, name in enumerate(found)}
        crystals, notices = joined(crystals, places, rows, str(table), lambda _: why)
    name = path.parent.name if path.stem == "structures" else path.stem
    return assemble(crystals, rows, settings, name=name, notices=notices)


def _table_beside(folder: Path) -> Path | None:
    if (folder / "props.csv").is_file():
        return folder / "props.csv"
    found = sorted(folder.glob("*.csv"))
    if found:
        raise CrystalliteError(
            f"{folder}: choose the table: {' or '.join(f'--table {name}' for name in found)}"
        )
    return None
