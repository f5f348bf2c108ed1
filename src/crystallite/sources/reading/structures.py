"""The structures of a file, one after another, whatever its format: for `predict` and `data import`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...crystals.cif import parse_cifs, read_cif, read_cifs
from ...crystals.crystal import Crystal
from ...errors import CrystalError, CrystalliteError
from .archive_stream import COMPRESSIONS, unpacked
from .input_file import as_crystal_error, problem_of, shown, text_of
from .record import Record, attempted
from .structure_files import StructureFile, kind_of


def read_structures(file: StructureFile, id_column: str = "material_id") -> Iterator[Record]:
    """Yield the structures of a file with their ids and properties; of a bad one, why it cannot be used.

    id_column: the key of the ids, where structures have properties. Raises CrystalliteError if the file
    cannot be read further.
    """
    path = file.path
    problem = problem_of(path)
    if problem:
        yield Record(file.id, CrystalError(shown(path), problem), {})
    elif file.kind == "poscar":
        from .poscar import read_poscar

        yield Record(file.id, attempted(read_poscar, path), {})
    elif file.kind == "cif":
        yield from _cif(path, file.id)
    elif file.kind == "arrays":
        from .numpy_archive import read_crystals

        for name, crystal in read_crystals(path):
            yield Record(name, crystal, {})
    elif file.kind == "archive":
        from .archive_records import read_records
        from .archive_stream import open_archive

        with open_archive(path) as reader:
            yield from read_records(reader, path, id_column)
    elif file.kind == "bundle":
        from .bundles import read_bundle

        yield from read_bundle(path, id_column)
    else:
        from .ase_formats import read_ase

        yield from read_ase(path, id_column)


def read_crystal(path: str | Path) -> Crystal:
    """Return the only crystal of a file of any format; of a CIF with several the first, with a notice.

    Raises CrystalError naming the file if it cannot be used, or has several.
    """
    path = Path(path)
    kind = kind_of(path) or "cif"
    if kind == "cif" and path.suffix.lower() not in COMPRESSIONS:
        return read_cif(path)
    records = read_structures(StructureFile(path, kind, path.name))
    try:
        first = next(records, None)
        second = next(records, None) if first is not None else None
    except CrystalliteError as error:
        raise as_crystal_error(error, shown(path)) from None
    if first is None:
        raise CrystalError(shown(path), "no crystals")
    if second is not None:
        raise CrystalError(shown(path), "has several crystals; `crystallite predict` takes them all")
    if isinstance(first.crystal, CrystalError):
        raise first.crystal
    return first.crystal


def _cif(path: Path, name: str) -> Iterator[Record]:
    """Yield the crystals of a CIF: several have the names of their blocks after the file's."""
    try:
        if path.suffix.lower() in COMPRESSIONS:
            found = parse_cifs(text_of(unpacked(path))[0], shown(path))
        else:
            found = read_cifs(path)
    except CrystalliteError as error:
        found = [("", as_crystal_error(error, shown(path)))]
    for block, crystal in found:
        yield Record(f"{name}:{block}" if len(found) > 1 else name, crystal, {})
