"""Every format datasets are imported from and exported to, in one table each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..datasets.schema import STRUCTURE
from ..errors import CrystalliteError
from .reading.archive_stream import is_archive, split_name
from .reading.input_file import is_file, is_folder
from .reading.structure_files import kind_of

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset
    from .importers.assembling import Imported


@dataclass(frozen=True)
class ImportSettings:
    """What an import can be told; each importer takes what it needs.

    table: file with the properties. id_column: its column of ids. target: name for the values of id_prop.csv.
    units: column -> unit. workers: processes reading CIFs.
    """

    table: Path | None = None
    id_column: str = "material_id"
    target: str = "target"
    units: dict[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    workers: int = 1


def import_dataset(source: str, settings: ImportSettings) -> Imported:
    """Import `source`, a path or a pattern of files, with the first importer of IMPORTERS that fits.

    Raises CrystalliteError naming the file and what is wrong.
    """
    path = Path(source)
    if path.suffix.lower() == ".parquet":
        raise CrystalliteError(f"{source}: Parquet files need no import; use them as DATA")
    for fits, read in IMPORTERS:
        if fits(path, settings):
            return read(source, settings)
    return _files(source, settings)


def export_dataset(dataset: Dataset, output: Path, target: str | None = None) -> list[str]:
    """Write the dataset in the first format of EXPORTERS that fits the name `output`, else a folder.

    target: the only property to write; a folder needs it if there are several. Returns notices of what the
    format does not hold. Raises CrystalliteError if it cannot hold the dataset.
    """
    if output.is_dir():
        return _published(dataset, output, target)
    for fits, module, function in EXPORTERS:
        if fits(output):
            from importlib import import_module

            write: Callable[[Dataset, Path], list[str]]
            write = getattr(import_module(f"{__package__}.exporters.{module}"), function)
            return write(dataset if target is None else _only(dataset, target), output)
    if output.suffix.lower() == ".parquet":
        raise CrystalliteError(f"--output {output}: DATA is a dataset already; copy it")
    return _published(dataset, output, target)


def _archive(source: str, settings: ImportSettings) -> Imported:
    from .importers.archives import import_json_or_msgpack

    table, id_column, units = settings.table, settings.id_column, settings.units
    return import_json_or_msgpack(source, table, id_column=id_column, units=units, skip_bad=settings.skip_bad)


def _ase(source: str, settings: ImportSettings) -> Imported:
    from .importers.ase_formats import import_with_ase

    table, id_column, units = settings.table, settings.id_column, settings.units
    return import_with_ase(source, table, id_column=id_column, units=units, skip_bad=settings.skip_bad)


def _numpy(source: str, settings: ImportSettings) -> Imported:
    from .importers.numpy_archive import import_archive

    table, id_column, units = settings.table, settings.id_column, settings.units
    return import_archive(source, table, id_column=id_column, units=units, skip_bad=settings.skip_bad)


def _id_prop(source: str, settings: ImportSettings) -> Imported:
    from .importers.folder import import_published

    target, units, skip_bad, workers = settings.target, settings.units, settings.skip_bad, settings.workers
    return import_published(source, target=target, units=units, skip_bad=skip_bad, workers=workers)


def _files(source: str, settings: ImportSettings) -> Imported:
    from .importers.folder import import_files

    table, id_column, units = settings.table, settings.id_column, settings.units
    skip_bad, workers = settings.skip_bad, settings.workers
    return import_files(source, table, id_column=id_column, units=units, skip_bad=skip_bad, workers=workers)


def _published(dataset: Dataset, output: Path, target: str | None) -> list[str]:
    from .exporters.archives import units_notice
    from .exporters.published_layout import export_published

    left_out = len(dataset) - export_published(dataset, output, target)
    (name,) = dataset.properties if target is None else [target]
    unit = dataset.units.get(name)
    return [
        *([f"{left_out:,} crystals without a value left out"] if left_out else []),
        *units_notice([f"{name} ({unit})"] if unit else []),
    ]


def _only(dataset: Dataset, target: str) -> Dataset:
    from ..datasets.dataset import Dataset

    dataset.labels(target)  # raises for a name that is not there
    return Dataset(dataset.table.select([*STRUCTURE.names, target]), dataset.name)


def _is_numpy(path: Path, _: ImportSettings) -> bool:
    return (is_file(path) and path.suffix.lower() == ".npz") or is_file(path / "structures.npz")


def _is_cifs_archive(path: Path, _: ImportSettings) -> bool:
    if is_folder(path):
        from .reading.structure_files import find_archive

        return find_archive(path, "cifs") is not None
    return is_file(path) and is_archive(path)


def _needs_ase(path: Path, _: ImportSettings) -> bool:
    return is_file(path) and kind_of(path) in {"xyz", "database"}


def _is_rcgcnn_name(path: Path) -> bool:
    stem, encoding, _ = split_name(path)
    return encoding in {".msgpack", ".bin"} or (is_archive(path) and "cifs" in stem)


class Importer(NamedTuple):
    """Whether an importer is the one for a source, and the importer."""

    fits: Callable[[Path, ImportSettings], bool]
    read: Callable[[str, ImportSettings], Imported]


class Exporter(NamedTuple):
    """Whether an exporter is the one for a name, and the module and function, loaded when needed."""

    fits: Callable[[Path], bool]
    module: str
    function: str


IMPORTERS = (
    Importer(_is_numpy, _numpy),
    Importer(_is_cifs_archive, _archive),
    Importer(lambda path, settings: settings.table is None and is_file(path / "id_prop.csv"), _id_prop),
    Importer(_needs_ase, _ase),
)  # what is left are CIFs, POSCARs and patterns
EXPORTERS = (
    Exporter(_is_rcgcnn_name, "archives", "export_rcgcnn"),
    Exporter(lambda path: path.name.lower().endswith(".json.gz"), "archives", "export_matbench"),
    Exporter(is_archive, "archives", "export_pymatgen_list"),
    Exporter(lambda path: path.suffix.lower() in {".xyz", ".extxyz"}, "ase_formats", "export_extxyz"),
    Exporter(lambda path: path.suffix.lower() == ".db", "ase_formats", "export_ase_database"),
)  # what is left are folders
