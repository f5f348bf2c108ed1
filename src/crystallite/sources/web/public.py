"""Fetching the public sets of public_sets.py: download, check, make a dataset.

`CRYSTALLITE_MIRROR`, an address or a folder, is asked instead of the usual addresses if it is set; files have
the names PublicFile.name there. Downloads are kept in the cache, in the folder `downloads`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...crystals.crystal import Crystal
from ...datasets.dataset import Dataset
from ...errors import CrystalError, CrystalliteError
from ...extras import needed
from ...files.writing import atomic_path
from ..importers.archives import import_json_or_msgpack
from ..importers.assembling import Imported, assemble
from ..importers.import_settings import ImportSettings
from ..reading.collecting import Collector
from ..reading.pymatgen_json import crystal_of
from .public_sets import PUBLIC_SETS, PublicFile, PublicSet

MIRROR = "CRYSTALLITE_MIRROR"
LONGEST_CELL = 10_000_000  # characters of a CIF in a table
LARGEST_DOWNLOAD = 1 << 30  # bytes; far beyond the compressed JSON of the largest set, 132,752 crystals
# Column of a file -> our name and unit; matbench tasks are renamed by sources.archives.
RENAMED = {
    "castelli_perovskites": {
        "e_form": ("formation_energy_per_cell", "eV"),
        "gap gllbsc": ("band_gap_gllb_sc", "eV"),
        "gap is direct": ("gap_is_direct", ""),
        "vbm": ("valence_band_edge", "eV"),
        "cbm": ("conduction_band_edge", "eV"),
        "fermi level": ("fermi_level", "eV"),
        "fermi width": ("fermi_width", "eV"),
        "mu_b": ("magnetic_moment", "Bohr magneton"),
    }
}
# Heats are of the cell of five atoms; CDVAE writes eV/atom, but docs/public_sets.md says why it is not.
PEROV5_UNITS = {"heat_all": "eV", "heat_ref": "eV", "dir_gap": "eV", "ind_gap": "eV"}


def fetch_public(
    name: str, output: str | Path, *, cache: Path, progress: bool = True
) -> Imported | list[Path]:
    """Fetch the set `name` of PUBLIC_SETS.

    Writes a dataset to `output` and returns it, or copies files as they are to the folder `output` and
    returns their paths. cache: folder for downloads. Raises CrystalliteError if a file cannot be had, is
    larger than LARGEST_DOWNLOAD or is not the one whose checksum is known.
    """
    if name not in PUBLIC_SETS:
        raise CrystalliteError(f"no public set {name!r}; there are: {', '.join(PUBLIC_SETS)}")
    public, output = PUBLIC_SETS[name], Path(output)
    if public.kind != "models" and output.suffix.lower() != ".parquet":
        raise CrystalliteError(f"{output}: a dataset's name ends in .parquet")
    paths = [local_file(file, cache, progress=progress) for file in public.files]
    if public.kind == "models":
        return [_copied(path, output / file.name) for path, file in zip(paths, public.files, strict=True)]
    imported = _perov5(paths) if public.kind == "perov5" else _with_our_names(name, paths[0])
    dataset = imported.dataset.with_metadata(_facts(public, paths))
    dataset.write(output)
    return Imported(dataset, imported.bad, imported.notices)


def local_file(file: PublicFile, cache: Path, *, progress: bool = True) -> Path:
    """Return the path of a checked file: in a mirror that is a folder, otherwise downloaded to `cache`."""
    mirror = os.environ.get(MIRROR, "")
    if not mirror or "://" in mirror:
        address = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.address
        return _downloaded(file, address, cache, progress)
    path = Path(mirror).expanduser() / file.name
    if not path.is_file():
        raise CrystalliteError(f"the mirror {mirror} has no file {file.name} (of {file.address})")
    _check(path, file, f"the mirror's {path}")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _downloaded(file: PublicFile, address: str, cache: Path, progress: bool) -> Path:
    """Download unless the cache has it; the file appears in the cache whole and checked, or not at all."""
    path = cache / "downloads" / file.name
    if path.is_file() and file.sha256 in ("", sha256(path)):
        return path
    pooch = needed("pooch", "fetching", "crystallite[fetch]")
    downloader = pooch.HTTPDownloader(progressbar=progress and os.isatty(2), timeout=60)
    with atomic_path(path) as temporary:
        try:
            with _LimitedFile(temporary, address) as content:
                downloader(address, content, None)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            raise CrystalliteError(
                f"cannot download {address}: {_reason(error)}. On a machine without internet, put "
                f"{file.name} into a folder and set {MIRROR} to that folder"
            ) from None
        _check(temporary, file, address)
    return path


class _LimitedFile(io.BufferedWriter):
    """A new file that refuses to grow beyond LARGEST_DOWNLOAD."""

    def __init__(self, path: Path, address: str) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._address, self._size = address, 0

    def write(self, data: Any) -> int:
        self._size += len(data)
        if self._size > LARGEST_DOWNLOAD:
            raise CrystalliteError(
                f"{self._address} sends more than {LARGEST_DOWNLOAD:,} bytes, as no public set does"
            )
        return super().write(data)


def _check(path: Path, file: PublicFile, place: str) -> None:
    """Raise CrystalliteError unless the file is what it should be, as far as that is known."""
    found = sha256(path)
    if file.sha256 and found != file.sha256:
        raise CrystalliteError(
            f"{place} is not the expected file: SHA-256 {found}, expected {file.sha256}. "
            "It may be a broken download, a log-in page or a new version"
        )
    with path.open("rb") as content:
        if content.read(64).lstrip()[:1] == b"<":
            raise CrystalliteError(
                f"{place} is a web page, not {file.name}; does the network require a log-in?"
            )


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    kind = type(error).__name__
    return "no connection (is there a network?)" if "Connect" in kind else f"{kind}: {error}"[:200]


def _copied(path: Path, target: Path) -> Path:
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    return target


def _facts(public: PublicSet, paths: Sequence[Path]) -> dict[str, str]:
    return {
        "title": public.summary,
        "source": " ".join(file.address for file in public.files),
        "sha256": " ".join(sha256(path) for path in paths),
        "licence": public.licence,
        "citation": public.citation,
    }


def _with_our_names(name: str, path: Path) -> Imported:
    """Import a JSON archive and give its columns our names and units."""
    imported = import_json_or_msgpack(path)
    dataset = imported.dataset
    for column, (ours, unit) in RENAMED.get(name, {}).items():
        if column in dataset.table.column_names:
            values = dataset.table[column]
            dataset = dataset.with_property(ours, values, unit or None)
            dataset = (
                Dataset(dataset.table.drop_columns([column]), dataset.name) if ours != column else dataset
            )
    return Imported(dataset, imported.bad, imported.notices)


def _perov5(paths: Sequence[Path]) -> Imported:
    """Import CDVAE's tables, one for each set, with a CIF in every row."""
    collector = Collector()
    for path in paths:
        for row in _rows(path):
            values = {
                key: float(row[key]) if row.get(key) not in (None, "") else None for key in PEROV5_UNITS
            }
            name = row["material_id"]
            collector.add(name, _crystal(row["cif"], f"{path.name}, {name}"), {"split": path.stem, **values})
    rows, notices = collector.table("perov5")
    settings = ImportSettings(units=PEROV5_UNITS)
    return assemble(collector.crystals, rows, settings, name="perov5", notices=notices)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    usual = csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"material_id", "cif", *PEROV5_UNITS} - set(reader.fieldnames or ())
            if missing:
                raise CrystalliteError(
                    f"{path}: no column {', '.join(sorted(missing))}; not a table of CDVAE's"
                )
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CrystalliteError(f"{path}: not a readable CSV table: {error}") from None
    finally:
        csv.field_size_limit(usual)


def _crystal(cif: str, source: str) -> Crystal | CrystalError:
    try:
        return crystal_of(cif, source)
    except CrystalError as error:
        return error
