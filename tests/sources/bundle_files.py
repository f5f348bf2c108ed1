"""Tar and zip files that tests make, and what is read from them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from strategies import rock_salt

from crystallite.crystals.crystal import Crystal
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.reading.structure_files import StructureFile, kind_of
from crystallite.sources.reading.structures import read_structures

CIF = cif_text(rock_salt(5.6), "NaCl")
OTHER = cif_text(rock_salt(5.2, 3, 9), "LiF")


def packed(path: Path, members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write members to a tar or zip file, which its name tells."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    compression = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in members.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: str | bytes = b"", **more) -> None:
    data = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def records_of(path: Path) -> tuple[list, str]:
    """The records of a file, and why it cannot be read further."""
    records: list = []
    try:
        for record in read_structures(*one_file(path)):
            records.append(record)
    except CrystalliteError as error:
        return records, str(error)
    return records, ""


def one_file(path: Path) -> tuple[StructureFile]:
    return (StructureFile(path, kind_of(path) or "", path.name),)


def good(path: Path) -> list[str]:
    records, error = records_of(path)
    assert error == ""
    assert all(isinstance(record.crystal, Crystal) for record in records)
    return [record.id for record in records]


def bad(path: Path) -> dict[str, str]:
    """What is told of a file, by source; each names the bundle first."""
    records, error = records_of(path)
    told = {r.crystal.source: r.crystal.reason for r in records if isinstance(r.crystal, CrystalError)}
    assert all(source.startswith(str(path)) for source in told)
    assert "\n" not in error + "".join(told.values())
    return told | ({"": error} if error else {})
