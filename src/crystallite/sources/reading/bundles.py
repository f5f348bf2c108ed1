"""Bundles: tar and zip files of files with structures, read in place, one member after another."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from ...crystals.cif import MAX_BYTES, each_cif
from ...errors import CrystalError, CrystalliteError, one_line
from .archive_records import read_records
from .archive_stream import ALWAYS_UNPACKED, COMPRESSIONS, open_archive, unpacked
from .input_file import as_crystal_error, shown, text_of
from .record import Record
from .structure_files import POSCAR_NAMES, StructureFile, TakenIds, kind_of, name_of, with_ids
from .texts import ID_KEY, records_of_text

KINDS = {"cif", "poscar", "xyz", "archive"}  # that are read inside a bundle
MOST_EXPANSION = 1000  # times its size a tar file may unpack to; many like CIFs of a line or two: 100
LONGEST_NAME = 1 << 20  # bytes of what comes before a member in a tar file and says its name
_ZIP = re.compile(r".*\.zip", re.IGNORECASE | re.DOTALL)
_TAR_COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_SIZE, _CHECKSUM = re.compile(rb"[0-7]+"), re.compile(rb"([0-7]+)[ \0]*")  # in a tar file
_NAMES = {*b"xgLKX"}  # types of members of a tar file that hold the name of the next one
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
    OverflowError, LookupError, NotImplementedError, RuntimeError,
)  # fmt: skip  # what both modules raise for damage, unknown compressions and passwords


class Stretch(NamedTuple):
    """Where the bytes of a member lie in a tar file that is not compressed."""

    offset: int
    size: int

    def __bool__(self) -> bool:
        return self.size > 0


class Member(NamedTuple):
    """A file in a bundle: its name with the folders in it; its bytes, where they lie or why it has none."""

    name: str
    content: bytes | Stretch | CrystalError


def each_member(file: IO[bytes], name: str, *, in_place: bool = False) -> Iterator[Member]:
    """Yield the members of a bundle that hold structures; what lies beside them is passed over.

    Of POSCAR and CONTCAR that follow each other in one folder the CONTCAR, unless it is empty.

    Args:
        file: the bundle; a tar file is read once from its start, of a zip file its index first.
        name: of the bundle, whose ending says which of the two it is; it names it in errors.
        in_place: of a tar file that is not compressed tell where the members lie instead of reading them;
            `bytes_at` does.

    Raises:
        CrystalliteError: if it cannot be read further.
    """
    return _relaxed(_members(file, name, in_place))


def bytes_at(stretch: Stretch, file: IO[bytes]) -> bytes:
    """Return the bytes of a member of a tar file. Raises CrystalliteError if the file ends before them."""
    file.seek(stretch.offset)
    content = file.read(stretch.size)
    if len(content) < stretch.size:
        raise CrystalliteError(f"{shown(file.name)}: has become shorter while it was read")
    return content


def read_bundle(path: Path, id_column: str = ID_KEY) -> Iterator[Record]:
    """Yield the structures of all members of a bundle, with the ids that the members would have as files."""
    taken = TakenIds()
    for file, record in read_members(path, members_of(path), id_column):
        yield record._replace(id=taken.of(record.id, file.id))


def members_of(path: Path) -> list[StructureFile]:
    """Return the members of a bundle as the files that they would be, up to where it is damaged."""
    names = []
    try:
        with _readable(shown(path)), path.open("rb") as file:
            for member in each_member(file, shown(path)):
                names.append(_inside(member.name, path.name))
    except CrystalliteError:
        pass  # whoever reads them meets it again
    return with_ids(names)


def read_members(
    path: Path, members: list[StructureFile], id_column: str = ID_KEY
) -> Iterator[tuple[StructureFile, Record]]:
    """Yield the structures of some members of a bundle, each with its member; see `members_of`.

    Raises CrystalliteError if it cannot be read further, or holds none.
    """
    by_path = {member.path: member for member in members}
    empty = True
    with _readable(shown(path)):
        file = path.open("rb")
    with file:
        for member in each_member(file, shown(path)):
            empty = False
            wanted = by_path.get(_inside(member.name, path.name))
            if wanted is not None:
                for record in read_member(member, shown(path), id_column, wanted.id):
                    yield wanted, record
    if empty:
        raise CrystalliteError(f"{shown(path)}: no files with structures in it (CIF, POSCAR, XYZ, JSON)")


def read_member(
    member: Member, bundle: str, id_column: str = ID_KEY, name: str | None = None
) -> Iterator[Record]:
    """Yield the structures of a member that has its bytes.

    Its place is BUNDLE/MEMBER in what is told of those that are bad. name: the id of its only structure, else
    what the member alone says.
    """
    name = _id_of(member.name, bundle) if name is None else name
    place = place_of(member, bundle)
    if isinstance(member.content, CrystalError):
        yield Record(name, member.content, {})
        return
    assert isinstance(member.content, bytes)
    empty = True
    try:
        for record in _records(place, name, member.content, id_column):
            empty = False
            yield record
    except CrystalliteError as error:
        yield Record(name, as_crystal_error(error, place), {})
        return
    if empty:
        yield Record(name, CrystalError(place, "no crystals"), {})


def place_of(member: Member, bundle: str) -> str:
    """Return where a member stands: the bundle and, as if that were a folder, the names in it."""
    return "/".join((bundle, *_parts(member.name)))


def _records(place: str, name: str, content: bytes, id_column: str) -> Iterator[Record]:
    if _is_cif(place):  # the usual case, without the cost of paths
        for block, crystal in each_cif(text_of(content)[0], place):
            yield Record(f"{name}:{block}" if block else name, crystal, {})
        return
    path = Path(place)
    kind = kind_of(path) or ""
    if kind == "archive":
        with open_archive(path, BytesIO(content)) as reader:
            yield from read_records(reader, path, id_column)
        return
    if path.suffix.lower() in COMPRESSIONS:
        content = unpacked(path, BytesIO(content))
    yield from records_of_text(text_of(content)[0], path, kind, name, id_column)


def _parts(name: str) -> list[str]:
    """Return the folders and the name of a member; none leads out of the bundle."""
    return [part for part in name.split("/") if part not in {"", ".", ".."}]


def _is_cif(name: str) -> bool:
    """Whether a name is that of a CIF, and not its ending alone."""
    return name[-4:].lower() == ".cif" and name[-5:-4] not in {"", "/"}


def _id_of(name: str, bundle: str) -> str:
    """Return the id that a member alone would have."""
    if _is_cif(name):
        return _parts(name)[-1][:-4]
    return with_ids([_inside(name, Path(bundle).name)])[0].id


def _inside(name: str, bundle: str) -> Path:
    """Return the path of a member that its id is made of: of a bare POSCAR outside folders, the bundle's."""
    path = Path(*_parts(name))
    return path if name_of(path) or len(path.parts) > 1 else Path(name_of(Path(bundle)), path)


def _holds_structures(name: str) -> bool:
    """Whether a member of this name is read: hidden files, tables of elements and other kinds are not."""
    parts = _parts(name)
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    if not parts or is_hidden or parts[-1] == "atom_init.json":
        return False
    return _is_cif(name) or kind_of(Path(*parts)) in KINDS


def _relaxed(members: Iterator[Member]) -> Iterator[Member]:
    """Leave out the worse of POSCAR and CONTCAR of a folder; the better comes after what is beside it."""
    folder, waiting = "", None
    problem: CrystalliteError | None = None
    try:
        for member in members:
            parent, _, name = member.name.rpartition("/")
            if parent != folder and waiting is not None:
                yield waiting
                waiting = None
            folder = parent
            if name not in POSCAR_NAMES:
                yield member
            else:
                waiting = member if waiting is None else max(waiting, member, key=_worth)
    except CrystalliteError as error:
        problem = error
    if waiting is not None:
        yield waiting
    if problem is not None:
        raise problem


def _worth(member: Member) -> int:
    is_poscar = member.name.endswith("POSCAR")
    return 1 if is_poscar else 2 if member.content else 0


def _members(file: IO[bytes], name: str, in_place: bool) -> Iterator[Member]:
    with _readable(name):
        yield from _of_zip(file, name) if _ZIP.fullmatch(name) else _of_tar(file, name, in_place)


class _Header(tarfile.TarInfo):
    """What comes before a member of a tar file; tarfile takes a damaged one for the end of the file.

    Of the usual kind only name, type, size and checksum are read, in a third of tarfile's time: a process
    that cuts for many does little else.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        if _is_usual(buf):
            header = cls(bytes(buf[:100]).partition(b"\0")[0].decode(encoding, errors))
            header.size = int(buf[124:135], 8)
            return header
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the mark of the end
            reason = str(error) if buf else "the mark of its end is missing, it may have been cut off"
            raise tarfile.ReadError(reason) from None
        if header.size < 0 or (header.type[0] in _NAMES and header.size > LONGEST_NAME):
            raise tarfile.ReadError(f"a member of {header.size:,} bytes")
        return header


def _is_usual(buf: bytes | bytearray) -> bool:
    """Whether the header is sound and of a regular file whose name and size stand in it (POSIX ustar)."""
    if len(buf) < tarfile.BLOCKSIZE or buf[156] != ord("0") or buf[135] not in b"\0 " or buf[345]:
        return False
    size, checksum = _SIZE.fullmatch(buf, 124, 135), _CHECKSUM.fullmatch(buf, 148, 156)
    if size is None or checksum is None:
        return False
    return int(checksum[1], 8) == 8 * ord(" ") + sum(buf[:148]) + sum(buf[156:])


def _of_tar(file: IO[bytes], name: str, in_place: bool) -> Iterator[Member]:
    n_bytes = file.seek(0, 2)
    most = max(ALWAYS_UNPACKED, MOST_EXPANSION * n_bytes)
    file.seek(0)
    begin = file.read(6)
    file.seek(0)
    opened = next((open_ for mark, open_ in _TAR_COMPRESSIONS.items() if begin.startswith(mark)), None)
    stream = opened(file) if opened else file
    in_place = in_place and not opened
    with tarfile.open(fileobj=stream, mode="r:" if in_place else "r|", tarinfo=_Header) as bundle:
        for info in bundle:
            bundle.members = []  # type: ignore[attr-defined]  # else it remembers every one
            end = info.offset_data + info.size
            if info.size < 0:  # as it may be told before the header
                raise tarfile.ReadError(f"a member of {info.size:,} bytes")
            if end > most:
                raise tarfile.ReadError(f"it unpacks to more than {MOST_EXPANSION:,} times its size")
            if not info.isreg() or not _holds_structures(info.name):
                continue
            is_in_place = in_place and not info.issparse() and info.size <= MAX_BYTES
            if is_in_place and end > n_bytes:
                raise tarfile.ReadError("unexpected end of data")
            if is_in_place:
                yield Member(shown(info.name), Stretch(info.offset_data, info.size))
            else:
                yield _member(name, info.name, info.size, bundle.extractfile(info))


def _of_zip(file: IO[bytes], name: str) -> Iterator[Member]:
    with zipfile.ZipFile(file) as bundle:
        for info in sorted(bundle.infolist(), key=lambda info: info.header_offset):
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind in {0, stat.S_IFREG} and not info.is_dir() and _holds_structures(info.filename):
                yield _zip_member(bundle, info, name)


def _zip_member(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Member:
    try:
        with bundle.open(info) as member:
            return _member(name, info.filename, info.file_size, member)
    except _DAMAGES as error:  # of this member alone
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        member_name = shown(info.filename)
        place = place_of(Member(member_name, b""), name)
        return Member(member_name, CrystalError(place, one_line(error)))


def _member(bundle: str, name: str, size: int, file: IO[bytes] | None) -> Member:
    member = Member(shown(name), b"")
    if file is None or size > MAX_BYTES:
        problem = CrystalError(place_of(member, bundle), f"more than {MAX_BYTES:,} bytes")
        return member._replace(content=problem)
    return member._replace(content=file.read())


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, *_DAMAGES) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CrystalliteError(f"{name}: not a readable archive, or damaged: {reason}") from None
