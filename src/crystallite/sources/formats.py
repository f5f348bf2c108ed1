"""Every format datasets are imported from and exported to, in one table each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..datasets.schema import STRUCTURE
from ..errors import CrystalliteError
from .importers.import_settings import ImportSettings as ImportSettings  # handed on, too
from .reading.archive_stream import is_archive, split_name
from .reading.input_file import is_file, is_folder
from .reading.structure_files import kind_of

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset
    from .importers.assembling import Imported


def import_dataset(source: str, settings: ImportSettings) -> Imported:
    """Import `source`, a path or a pattern of files, with the first importer of IMPORTERS that fits.

    Raises CrystalliteError naming the file and what is wrong.
    """
    path = Path(source)
    if path.suffix.lower() == ".parquet":
        raise CrystalliteError(f"{source}: Parquet files need no import; use them as DATA")
    module, function = next((module, name) for fits, module, name in IMPORTERS if fits(path, settings))
    read: Callable[[str, ImportSettings], Imported] = _loaded(f"importers.{module}", function)
    return read(source, settings)


def export_dataset(dataset: Dataset, output: Path, target: str | None = None) -> list[str]:
    """Write the dataset in the first format of EXPORTERS that fits the name `output`, else a folder.

    target: the only property to write; a folder needs it if there are several. Returns notices of what the
    format does not hold. Raises CrystalliteError if it cannot hold the dataset.
    """
    if output.is_dir():
        return _published(dataset, output, target)
    for fits, module, function in EXPORTERS:
        if fits(output):
            write: Callable[[Dataset, Path], list[str]] = _loaded(f"exporters.{module}", function)
            return write(dataset if target is None else _only(dataset, target), output)
    if output.suffix.lower() == ".parquet":
        raise CrystalliteError(f"--output {output}: DATA is a dataset already; copy it")
    return _published(dataset, output, target)


def _loaded(module: str, function: str) -> Any:
    """Return a function of a module below this room: each format is loaded when it is needed."""
    return getattr(import_module(f"{__package__}.{module}"), function)


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


def _is_published(path: Path, settings: ImportSettings) -> bool:
    return settings.table is None and is_file(path / "id_prop.csv")


def _needs_ase(path: Path, _: ImportSettings) -> bool:
    return is_file(path) and kind_of(path) in {"xyz", "database"}


def _is_rcgcnn_name(path: Path) -> bool:
    stem, encoding, _ = split_name(path)
    return encoding in {".msgpack", ".bin"} or (is_archive(path) and "cifs" in stem)


class Importer(NamedTuple):
    """Whether an importer is the one for a source, and the module and function."""

    fits: Callable[[Path, ImportSettings], bool]
    module: str
    function: str


class Exporter(NamedTuple):
    """Whether an exporter is the one for a name, and the module and function."""

    fits: Callable[[Path], bool]
    module: str
    function: str


IMPORTERS = (
    Importer(_is_numpy, "numpy_archive", "import_archive"),
    Importer(_is_cifs_archive, "archives", "import_json_or_msgpack"),
    Importer(_is_published, "folder", "import_published"),
    Importer(_needs_ase, "ase_formats", "import_with_ase"),
    Importer(lambda path, settings: True, "folder", "import_files"),  # CIFs, POSCARs and patterns
)
EXPORTERS = (
    Exporter(_is_rcgcnn_name, "archives", "export_rcgcnn"),
    Exporter(lambda path: path.name.lower().endswith(".json.gz"), "archives", "export_matbench"),
    Exporter(is_archive, "archives", "export_pymatgen_list"),
    Exporter(lambda path: path.suffix.lower() in {".xyz", ".extxyz"}, "ase_formats", "export_extxyz"),
    Exporter(lambda path: path.suffix.lower() == ".db", "ase_formats", "export_ase_database"),
)  # what is left are folders
