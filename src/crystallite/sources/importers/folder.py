"""Importing files of structures: the published CGCNN layout, or CIFs and POSCARs with a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...computing.processes import map_ahead, worker_processes
from ...computing.progress import progress_bar
from ...crystals.notices import CrystalNotice, gathered, notify, summary
from ...errors import CrystalError, CrystalliteError, shortened
from ..reading.archive_stream import COMPRESSIONS
from ..reading.bundles import members_of, read_members
from ..reading.collecting import Collector, joined, unlisted
from ..reading.crystal_pile import CrystalPile
from ..reading.input_file import is_file
from ..reading.record import Record
from ..reading.structure_files import StructureFile, TakenIds, cifs_in, found_files, with_ids
from ..reading.structures import read_structures
from ..reading.tables import read_id_values, read_table
from .assembling import Imported, assemble
from .import_settings import DEFAULTS, ImportSettings
from .kept_reads import PART, Read, read_part


def import_published(folder: str | Path, settings: ImportSettings = DEFAULTS) -> Imported:
    """Import a folder in the layout of the published CGCNN code.

    Args:
        folder: Has id_prop.csv (no header; id and value in every line, an empty value is missing), ID.cif for
            every id, and perhaps atom_init.json.
        settings: All but `table` and `id_column`, which the layout settles.

    Returns:
        The dataset, what was left out, and what was odd.

    Raises:
        CrystalliteError: For a file that cannot be read, naming it, and for crystals that cannot be used.
    """
    folder = Path(folder)
    listing = folder / "id_prop.csv"
    read = read_id_values(listing)
    files = with_ids(cifs_in(folder))
    names = _NamesOfFiles([*files, *_below(folder, read.ids)])
    ids = [names.id_of(given) for given in read.ids]
    pile, places, odd = _read(_records(names.files_of(ids), replace(settings, id_column="material_id")), ids)
    found: list[int | CrystalError] = []
    for row, name in enumerate(ids):
        problem = read.problems.get(row) or (names.missing(name) if name not in places else "")
        found.append(CrystalError(f"{read.places[row]} ({name})", problem) if problem else places[name])
    values = pa.array(read.values, pa.float64())
    table = pa.table({"material_id": pa.array(ids, pa.string()), settings.target: values})
    extra = unlisted((file.id for file in files), ids, listing.name, "CIFs")
    notices = [*read.notices, *odd, *extra, *_element_notice(folder / "atom_init.json")]
    return assemble(pile.arranged(found), table, settings, name=folder.name, notices=notices)


def import_files(source: str | Path, settings: ImportSettings = DEFAULTS) -> Imported:
    """Import CIFs or POSCARs with the properties in a table, or files that a pattern matches.

    Args:
        source: A folder, a file, a tar or zip file, or a pattern such as "cifs/*/*.cif", as structure_files
            knows them.
        settings: `table` is a CSV or Parquet file whose `id_column` has the ids of structure_files, or names
            of files; its other columns become properties. Without it the crystals come in the order of the
            files' names, with the properties that their files have.

    Returns:
        The dataset, what was left out, and what was odd.

    Raises:
        CrystalliteError: For a file that cannot be read, naming it, and for crystals that cannot be used.
    """
    paths, notices = found_files(source)
    if not paths:
        raise CrystalliteError(
            f"{source}: a folder without CIFs, POSCARs, structures.npz or an archive named cifs"
        )
    files = with_ids(paths)
    bundle = paths[0] if len(paths) == 1 and files[0].kind == "bundle" else None
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    name = files[0].id if bundle else folder.name or "cifs"
    table = settings.table
    if table is None:
        return _without_table(files, name, notices, settings)
    if bundle is not None:
        files = members_of(bundle)
    other = next((file.path for file in files if not file.single), None)
    if other is not None:
        raise CrystalliteError(f"--table {table}: files such as {other} have properties of their own")
    rows = read_table(Path(table), settings.id_column)
    names = _NamesOfFiles(files)
    ids = [names.id_of(given) for given in rows["material_id"].to_pylist()]
    rows = rows.set_column(0, "material_id", pa.array(ids, pa.string()))
    wanted = names.files_of(ids)
    records = (
        read_members(bundle, wanted)
        if bundle
        else _records(wanted, replace(settings, id_column="material_id"))
    )
    pile, places, odd = _read(records, ids)
    crystals, _ = joined(pile, places, rows, str(table), names.missing)
    notices = [*notices, *odd, *unlisted((file.id for file in files), ids, Path(table).name, _plural(files))]
    return assemble(crystals, rows, settings, name=name, notices=notices)


def _without_table(
    files: Sequence[StructureFile], name: str, notices: Sequence[str], settings: ImportSettings
) -> Imported:
    """Import what the files have."""
    collector, taken = Collector(), TakenIds()
    with gathered() as odd:
        for file, record in _records(files, settings):
            collector.add(taken.of(record.id, file.id), record.crystal, record.properties)
    rows, more = collector.table(name)
    notices = [*notices, *summary(odd), *more]
    return assemble(collector.crystals, rows, settings, name=name, notices=notices)


class _NamesOfFiles:
    """Which file a row of a table means by an id, a file's name, or a name that several folders have."""

    def __init__(self, files: Iterable[StructureFile]) -> None:
        self._files = {file.id: file for file in files}

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Another name of a file -> the ids of those that it may mean."""
        ids: dict[str, list[str]] = {}
        for file in self._files.values():
            path = file.path.with_suffix("") if file.path.suffix.lower() in COMPRESSIONS else file.path
            for other in {file.path.name, path.name, path.stem, f"{file.id}{path.suffix}"}:
                ids.setdefault(other, []).append(file.id)
        return ids

    def id_of(self, given: str) -> str:
        """Return the id of the only file that is meant, else what is given."""
        ids = [given] if given in self._files else self._ids.get(given, [])
        return ids[0] if len(ids) == 1 else given

    def files_of(self, ids: Iterable[str]) -> list[StructureFile]:
        """Return the files of ids such as x, or x:block for one of several structures, each once."""
        names = [name if name in self._files else name.partition(":")[0] for name in ids]
        return [self._files[name] for name in dict.fromkeys(names) if name in self._files]

    def missing(self, name: str) -> str:
        """Return why there is no file of this id."""
        several = self._ids.get(name, [])
        if several:
            return f"there are several files of this name; their ids are {shortened(several)}"
        return f"there is no file {name}.cif"


def _below(folder: Path, ids: Iterable[str]) -> Iterator[StructureFile]:
    """Yield the CIFs in folders inside `folder` that ids such as sub/x name; none outside of it."""
    for name in dict.fromkeys(ids):
        path = folder / f"{name}.cif"
        if "/" in name and ".." not in Path(name).parts and not Path(name).is_absolute() and is_file(path):
            yield StructureFile(path, "cif", name)


def _plural(files: Sequence[StructureFile]) -> str:
    return "CIFs" if files[0].kind == "cif" else "POSCARs"


def _read(
    records: Iterator[tuple[StructureFile, Record]], ids: Sequence[str]
) -> tuple[CrystalPile, dict[str, int], list[str]]:
    """Return the crystals that ids mean, the places of ids, and what is odd about them.

    An id of a file is its first crystal.
    """
    wanted, pile = set(ids), CrystalPile()
    places: dict[str, int] = {}
    with gathered() as notices:
        for file, record in records:
            places[record.id] = len(pile)
            pile.add(record.crystal)
            if record.id != file.id and file.id in wanted and file.id not in places:
                places[file.id] = places[record.id]
                notify(
                    [CrystalNotice(str(file.path), "several structures, only the first is read", record.id)]
                )
    return pile, places, summary(notices)


def _records(
    files: Sequence[StructureFile], settings: ImportSettings
) -> Iterator[tuple[StructureFile, Record]]:
    """Read the files in order, in several processes if told so; a progress bar appears if it takes long."""
    workers = settings.workers if len(files) >= 2 * settings.workers else 1
    with progress_bar(doing="reading", unit="files", total=len(files)) as bar:
        if workers == 1 and not all(file.single for file in files):
            for file in files:  # of any number of crystals
                for record in read_structures(file, settings.id_column):
                    yield file, record
                bar.update()
            return
        for part, reads in _parts(files, settings, workers):
            for file, (records, notices) in zip(part, reads, strict=True):
                notify(notices)
                for record in records:
                    yield file, record
                bar.update()


def _parts(
    files: Sequence[StructureFile], settings: ImportSettings, workers: int
) -> Iterator[tuple[Sequence[StructureFile], list[Read]]]:
    """Read the files part by part, keeping in the journal what was read of many."""
    size = min(PART, math.ceil(len(files) / workers) or 1)
    parts = [files[first : first + size] for first in range(0, len(files), size)]
    is_kept = len(files) > PART and all(file.single for file in files)
    folder = settings.journal if is_kept else None
    if workers == 1:
        for part in parts:
            yield part, read_part(part, settings.id_column, folder)
        return
    read = partial(read_part, id_column=settings.id_column, folder=folder)
    with worker_processes(workers) as pool:
        try:
            yield from zip(parts, map_ahead(partial(pool.submit, read), parts, 2 * workers), strict=True)
        except BrokenProcessPool:
            raise CrystalliteError(
                f"one of {workers} processes that read files was killed; fewer workers need less memory"
            ) from None


def _element_notice(path: Path) -> list[str]:
    """Return a notice if atom_init.json describes elements otherwise than the standard table."""
    from ...crystals.elements import feature_table, symbols

    if not is_file(path):
        return []
    try:
        given = {int(number): row for number, row in json.loads(path.read_text(encoding="utf-8")).items()}
    except OSError as error:
        return [f"cannot read {path.name}: {error.strerror or error}; it would not be used"]
    except (ValueError, AttributeError, RecursionError):
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
