"""Inputs cut into pieces that are cheap to hand to another process, which reads the crystals in them.

Whoever cuts understands nothing of what it cuts: names of files, members of archives, lines of JSON, frames
of extended XYZ, rows of a dataset. Formats that cannot be cut so are read where they are cut. The same inputs
always give the same pieces in the same order, whatever became of some of them before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..crystals.crystal import Crystal, CrystalArrays
from ..datasets.parquet_paths import parts
from ..errors import CrystalError, CrystalliteError
from .reading.archive_records import line_record
from .reading.archive_stream import each_line
from .reading.ase_formats import ID_KEY, parse_extended_xyz
from .reading.bundles import Member, each_member, member_id, read_member
from .reading.frames import each_frame
from .reading.input_file import as_crystal_error, problem_of, shown
from .reading.record import CrystalResult
from .reading.structure_files import SINGLE, StructureFile, kind_of, name_of
from .reading.structures import read_structures
from .resolver import Source

CRYSTALS = 4096  # of a piece, as a rule: some seconds of work
MOST_BYTES = 64 << 20  # of texts in a piece
_SINGLE_BYTES = 2_000  # of a CIF or POSCAR, about
SMALL_FILE = 1 << 20  # bytes; files up to here are read whole, elsewhere


class Found(NamedTuple):
    """A crystal of a piece, or why there is none. source: where it stands, down to the line or member."""

    id: str
    source: str
    crystal: CrystalResult


class Piece(NamedTuple):
    """Part of an input.

    kind: says what reads it. name: of the file. first: the number in the file, from 0, of the first item.
    items: as the kind has them. done: which fraction of the file ends with it.
    """

    kind: str
    name: str
    first: int
    items: Any
    done: float


def each_piece(source: Source) -> Iterator[Piece]:
    """Yield the pieces of what an input stands for; where a file cannot be read further, one that says so."""
    if source.kind == "dataset":
        yield from _to_its_end(_of_dataset(source), shown(source.name))
        return
    small: list[str] = []
    paths = source.files.paths
    for number, path in enumerate(paths):
        cut = _cutter(path)
        if cut is None:
            small.append(str(path))
        if small and (cut is not None or len(small) == CRYSTALS):
            yield Piece("files", "", 0, small, number / len(paths))
            small = []
        if cut is not None:
            for piece in _to_its_end(cut(path), shown(path)):
                yield piece._replace(done=(number + piece.done) / len(paths))
    if small:
        yield Piece("files", "", 0, small, 1.0)


def _to_its_end(pieces: Iterator[Piece], name: str) -> Iterator[Piece]:
    try:
        yield from pieces
    except CrystalliteError as error:
        yield Piece("found", name, 0, [Found("", name, as_crystal_error(error, name))], 1.0)


def n_bytes(source: Source) -> int:
    """Return roughly how large an input is."""
    if source.kind == "dataset":
        return sum(path.stat().st_size for path in parts(source.path))
    large = (path for path in source.files.paths if kind_of(path) not in SINGLE and not problem_of(path))
    return sum(path.stat().st_size for path in large) + _SINGLE_BYTES * len(source.files.paths)


def read_piece(piece: Piece) -> Iterator[Found]:
    """Yield the crystals of a piece; nothing is raised for those that cannot be read."""
    return _READERS[piece.kind](piece)


def identity(source: Source) -> list[Any]:
    """Return what tells whether an input is still the same: names, sizes and times of large files."""
    names = parts(source.path) if source.kind == "dataset" else source.files.paths
    facts: list[Any] = []
    for path in names:
        if source.kind == "dataset" or (kind_of(path) not in SINGLE and not problem_of(path)):
            status = path.stat()
            facts.append([str(path), status.st_size, status.st_mtime_ns])
        else:
            facts.append(str(path))
    return facts


Cutter = Callable[[Path], Iterator[Piece]]


def _cutter(path: Path) -> Cutter | None:
    """Return what cuts a file, None for one that is handed on whole."""
    kind = kind_of(path)
    if kind in SINGLE or problem_of(path):
        return None
    if kind == "bundle":
        return _of_bundle
    if kind != "database" and path.stat().st_size <= SMALL_FILE:
        return None
    if kind == "archive" and any(ending in path.suffixes for ending in (".jsonl", ".ndjson")):
        return _of_lines
    return _of_frames if path.suffix.lower() in {".xyz", ".extxyz"} else _of_others


def _of_bundle(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        yield from _pieces("members", shown(path), each_member(file, shown(path)), file, _bytes_of_member)


def _of_lines(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        yield from _pieces("lines", shown(path), each_line(path, file), file, len)


def _of_frames(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        frames = each_frame(TextIOWrapper(file, "utf-8", errors="replace"), shown(path))
        yield from _pieces("frames", shown(path), frames, file, len)


def _of_others(path: Path) -> Iterator[Piece]:
    file = StructureFile(path, kind_of(path) or "", name_of(path))
    records = (Found(record.id, shown(path), record.crystal) for record in read_structures(file))
    yield from _pieces("found", shown(path), records, None, lambda found: 0)


def _of_dataset(source: Source) -> Iterator[Piece]:
    from ..datasets.dataset import iter_batches
    from ..datasets.parquet import n_rows

    total, first = max(n_rows(source.path), 1), 0
    for batch in iter_batches(source.path, CRYSTALS):
        done = (first + len(batch.ids)) / total
        yield Piece("arrays", shown(source.name), first, (batch.ids, batch.arrays), done)
        first += len(batch.ids)


def _pieces(
    kind: str, name: str, items: Iterable[Any], file: IO[bytes] | None, size: Callable[[Any], int]
) -> Iterator[Piece]:
    """Yield pieces of CRYSTALS items, or of fewer that are large."""
    total = os.fstat(file.fileno()).st_size if file else 0
    first, taken, n_taken = 0, [], 0
    problem: CrystalliteError | None = None
    try:
        for item in items:
            taken.append(item)
            n_taken += size(item)
            if len(taken) == CRYSTALS or n_taken > MOST_BYTES:
                yield Piece(kind, name, first, taken, file.tell() / total if file else 0.0)
                first, taken, n_taken = first + len(taken), [], 0
    except CrystalliteError as error:
        problem = error  # after what came before it
    if taken:
        yield Piece(kind, name, first, taken, 1.0)
    if problem:
        raise problem


def _bytes_of_member(member: Member) -> int:
    return len(member.content) if isinstance(member.content, bytes) else 0


# ---- reading


def _files(piece: Piece) -> Iterator[Found]:
    for name in piece.items:
        path = Path(name)
        file = StructureFile(path, kind_of(path) or "", member_id(name))
        empty = True
        try:
            for record in read_structures(file):
                empty = False
                yield Found(record.id, shown(name), record.crystal)
        except CrystalliteError as error:
            yield Found(file.id, shown(name), as_crystal_error(error, shown(name)))
        else:
            if empty:
                yield Found(file.id, shown(name), CrystalError(shown(name), "no crystals"))


def _members(piece: Piece) -> Iterator[Found]:
    for member in piece.items:
        place = f"{piece.name}, {member.name}"
        for record in read_member(member, piece.name):
            yield Found(record.id, place, record.crystal)


def _lines(piece: Piece) -> Iterator[Found]:
    for row, line in enumerate(piece.items, piece.first):
        if line.strip():
            record = line_record(line, Path(piece.name), ID_KEY, row)
            yield Found(record.id, f"{piece.name}, line {row + 1}", record.crystal)


def _frames(piece: Piece) -> Iterator[Found]:
    for frame, text in enumerate(piece.items, piece.first):
        place = f"{piece.name}, crystal {frame + 1}"
        try:
            for record in parse_extended_xyz(text, Path(piece.name), ID_KEY, first=frame):
                yield Found(record.id, place, record.crystal)
        except CrystalliteError as error:
            yield Found(str(frame), place, as_crystal_error(error, place))


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
