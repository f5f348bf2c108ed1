"""Reading the crystals in pieces of inputs, wherever those that were cut by `pieces` have been handed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from platform import node
from typing import IO

from ..crystals.crystal import Crystal, CrystalArrays
from ..errors import CrystalError, CrystalliteError, StorageError
from ..files.failures import stops
from .pieces import Found, Piece, named
from .reading.archive_records import line_record
from .reading.ase_formats import ID_KEY, frame_record
from .reading.bundles import Member, Stretch, bytes_at, place_of, read_member
from .reading.input_file import as_crystal_error, is_folder, shown
from .reading.structure_files import StructureFile
from .reading.structures import read_structures


def read_piece(piece: Piece, *, skip_unreadable: bool = False) -> Iterator[Found]:
    """Yield the crystals of a piece; nothing is raised for those that are not right.

    skip_unreadable: what a disk or a network does not give is such a crystal, too.

    Raises StorageError where it is not the crystals' fault: a disk or a network fails, or files cannot be
    seen from here. Read again, the piece may be whole.
    """
    try:
        for found in _READERS[piece.kind](piece):
            if stops(found.crystal, skip_unreadable=skip_unreadable):
                raise StorageError(str(found.crystal))
            yield found
    except OSError as error:
        raise StorageError(str(named(error, piece.name))) from error


def _files(piece: Piece) -> Iterator[Found]:
    file: StructureFile
    for folder in {file.path.parent for file in piece.items}:
        if not is_folder(folder):
            raise _unseen(folder)
    for file in piece.items:
        name, empty = shown(file.path), True
        try:
            for record in read_structures(file):
                empty = False
                yield Found(record.id, name, record.crystal)
        except (CrystalliteError, OSError) as error:
            yield Found(file.id, name, as_crystal_error(named(error, name), name))
        else:
            if empty:
                yield Found(file.id, name, CrystalError(name, "no crystals"))


def _unseen(path: Path) -> StorageError:
    return StorageError(f"{shown(path)}: cannot be seen from {node()}; workers need it there")


def _members(piece: Piece) -> Iterator[Found]:
    with ExitStack() as opened:
        file = None
        member: Member
        for member in piece.items:
            place = place_of(member, piece.name)
            if isinstance(member.content, Stretch):
                try:
                    file = file or opened.enter_context(_opened(Path(piece.name)))
                    content: bytes | CrystalError = bytes_at(member.content, file)
                except OSError as error:  # of the disk, whatever it says: the file was read to be cut
                    content = as_crystal_error(named(error, place), place)
                    content.__cause__ = content.__cause__ or StorageError(str(content))
                member = member._replace(content=content)
            for record in read_member(member, piece.name):
                yield Found(record.id, place, record.crystal)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise _unseen(path) from None


def _lines(piece: Piece) -> Iterator[Found]:
    for row, line in enumerate(piece.items, piece.first):
        record = line_record(line, Path(piece.name), ID_KEY, row)
        yield Found(record.id, f"{piece.name}, element {row + 1}", record.crystal)


def _frames(piece: Piece) -> Iterator[Found]:
    for number, frame in enumerate(piece.items, piece.first):
        record = frame_record(frame, Path(piece.name), ID_KEY, number)
        yield Found(record.id, f"{piece.name}, crystal {number + 1}", record.crystal)


def _arrays(piece: Piece) -> Iterator[Found]:
    ids: Sequence[str]
    arrays: CrystalArrays
    ids, arrays = piece.items
    for row, name in enumerate(ids):
        crystal: Crystal = arrays.crystal(row)
        yield Found(name, f"{piece.name}, row {piece.first + row + 1}", crystal)


_READERS: dict[str, Callable[[Piece], Iterator[Found]]] = {
    "files": _files,
    "members": _members,
    "lines": _lines,
    "frames": _frames,
    "arrays": _arrays,
    "found": lambda piece: iter(piece.items),
}
