"""Bundles: tar and zip files of files with structures, read in place, one member after another."""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ...crystals.cif import MAX_BYTES
from ...errors import CrystalError, CrystalliteError, one_line
from .input_file import shown, text_of
from .record import Record
from .structure_files import kind_of, name_of
from .texts import StructureText, read_text

_ZIP = re.compile(r".*\.zip", re.IGNORECASE | re.DOTALL)


class Member(NamedTuple):
    """A file in a bundle: its name with the folders in it, and its bytes or why it has none."""

    name: str
    content: bytes | CrystalError


def each_member(file: IO[bytes], name: str) -> Iterator[Member]:
    """Yield the members of a bundle that hold structures; what lies beside them is passed over.

    Args:
        file: the bundle; a tar file is read once from its start, of a zip file its index first.
        name: of the bundle, whose ending says which of the two it is; it names it in errors.

    Raises:
        CrystalliteError: if it cannot be read further.
    """
    with _readable(name):
        yield from (_of_zip if _ZIP.fullmatch(name) else _of_tar)(file, name)


def read_bundle(path: Path) -> Iterator[Record]:
    """Yield the structures of all members of a bundle, with the ids that the members would have as files."""
    empty = True
    with _readable(shown(path)), path.open("rb") as file:
        for member in each_member(file, shown(path)):
            empty = False
            yield from read_member(member, shown(path))
    if empty:
        raise CrystalliteError(f"{shown(path)}: no files with structures in it")


def read_member(member: Member, bundle: str) -> Iterator[Record]:
    """Yield the structures of a member; `bundle` names the bundle in what is told of those that are bad."""
    if isinstance(member.content, CrystalError):
        yield Record(member_id(member.name), member.content, {})
        return
    path = PurePosixPath(member.name)
    for record in read_text(StructureText(path.name, text_of(member.content)[0])):
        place = record.crystal
        if isinstance(place, CrystalError):
            where = str(path.parent / place.source) if place.source.startswith(path.name) else str(path)
            record = record._replace(crystal=CrystalError(f"{bundle}, {where}", place.reason))
        yield record if name_of(Path(path)) else record._replace(id=member_id(member.name))


def member_id(name: str) -> str:
    """Return the id of the only structure of a member: its name without ending, or its folder's."""
    path = Path(name)
    return name_of(path) or path.parent.name or path.name


def holds_structures(name: str) -> bool:
    """Whether a member of this name is read: hidden files, tables of elements and other kinds are not."""
    path = PurePosixPath(name)
    is_hidden = any(part[0] in "._" for part in path.parts if part != "..")
    return not is_hidden and path.name != "atom_init.json" and kind_of(Path(name)) in {"cif", "poscar", "xyz", "archive"}


def _of_tar(file: IO[bytes], name: str) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r|*") as bundle:
        for info in bundle:
            bundle.members = []  # type: ignore[attr-defined]  # else it remembers every one
            if info.isreg() and holds_structures(info.name):
                yield _member(name, info.name, info.size, bundle.extractfile(info))


def _of_zip(file: IO[bytes], name: str) -> Iterator[Member]:
    with zipfile.ZipFile(file) as bundle:
        for info in bundle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind in {0, stat.S_IFREG} and not info.is_dir() and holds_structures(info.filename):
                yield _zip_member(bundle, info, name)


def _zip_member(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Member:
    try:
        with bundle.open(info) as member:
            return _member(name, info.filename, info.file_size, member)
    except (NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # an unknown compression, a password, damage of this member alone
        return Member(shown(info.filename), CrystalError(f"{name}, {shown(info.filename)}", one_line(error)))


def _member(bundle: str, name: str, size: int, file: IO[bytes] | None) -> Member:
    name = shown(name)
    if file is None or size > MAX_BYTES:
        return Member(name, CrystalError(f"{bundle}, {name}", f"more than {MAX_BYTES:,} bytes"))
    return Member(name, file.read(MAX_BYTES + 1))


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CrystalliteError(f"{name}: not a readable archive, or damaged: {reason}") from None
