"""Inputs cut into pieces that are cheap to hand to another process, which reads the crystals in them.

Whoever cuts understands nothing of what it cuts: names of files, members of archives, lines of JSON, frames
of extended XYZ, rows of a dataset. Formats that cannot be cut so are read where they are cut. The same inputs
always give the same pieces in the same order, whatever became of some of them before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..crystals.crystal import Crystal
from ..datasets.builtin import PREFIX
from ..datasets.parquet_paths import parts
from ..errors import CrystalError, CrystalliteError, StorageError, first_line
from ..files.failures import may_pass, stops
from ..files.writing import not_regular
from .reading.archive_records import is_crystal_line
from .reading.archive_stream import each_line, split_name
from .reading.bundles import Member, Stretch, each_member
from .reading.frames import each_frame
from .reading.input_file import as_crystal_error, problem_of, shown
from .reading.record import CrystalResult
from .reading.structure_files import StructureFile, kind_of, with_ids
from .reading.structures import read_structures
from .resolver import Source

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset

CRYSTALS = 4096  # of a piece, as a rule: some seconds of work
MOST_BYTES = 16 << 20  # of texts in a piece: a process that reads them needs some twenty times as much
_BYTES_OF_ATOM = 64  # in a text
_UNKNOWN_BYTES = 2_000  # what a file counts for whose size is not known
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


def each_piece(source: Source, *, skip_unreadable: bool = False) -> Iterator[Piece]:
    """Yield the pieces of what an input stands for; where a file cannot be read further, one that says so.

    skip_unreadable: also where that is the fault of a disk or a network, else StorageError is raised.
    """
    to_its_end = partial(_to_its_end, skip_unreadable=skip_unreadable)
    if source.kind == "dataset":
        yield from to_its_end(_of_dataset(source.path, shown(source.name)), shown(source.name))
        return
    if source.kind == "remote":
        for number, path in enumerate(source.files.paths):
            for piece in to_its_end(_of_remote(path), shown(path)):
                yield piece._replace(done=(number + piece.done) / len(source.files.paths))
        return
    small: list[StructureFile] = []
    files, first, n_small = with_ids(source.files.paths), 0, 0
    for number, file in enumerate(files):
        cut = _cutter(file)
        first = first if small else number
        if cut is None:
            small.append(file)
            status = _status(file.path)
            n_small += status.st_size if status else 0
        if small and (cut is not None or len(small) == CRYSTALS or n_small > MOST_BYTES):
            yield Piece("files", "", first, small, (number + (cut is None)) / len(files))
            small, n_small = [], 0
        if cut is not None:
            for piece in to_its_end(cut(file.path), shown(file.path)):
                yield piece._replace(done=(number + piece.done) / len(files))
    if small:
        yield Piece("files", "", first, small, 1.0)


def _to_its_end(pieces: Iterator[Piece], name: str, *, skip_unreadable: bool) -> Iterator[Piece]:
    empty = True
    try:
        for piece in pieces:
            empty = False
            yield piece
    except (CrystalliteError, OSError) as error:
        if stops(error, skip_unreadable=skip_unreadable):
            raise StorageError(str(named(error, name))) from error
        problem = as_crystal_error(named(error, name), name)
    else:
        problem = CrystalError(name, "no crystals")
        if not empty:
            return
    yield Piece("found", name, 0, [Found("", problem.source, problem)], 1.0)


def named(error: CrystalliteError | OSError, name: str) -> CrystalliteError:
    """Return what the system says as an error of ours."""
    if isinstance(error, CrystalliteError):
        return error
    found = CrystalError(name, f"cannot read the file: {error.strerror or error}")
    if may_pass(error):
        found.__cause__ = error
    return found


def n_bytes(source: Source) -> int:
    """Return roughly how large an input is."""
    return sum(_UNKNOWN_BYTES if status is None else status.st_size for _, status in _statuses(source))


def label(piece: Piece) -> str:
    """Return what tells whether a piece is still the same part of the same file."""
    n_items = len(piece.items[0]) if piece.kind == "arrays" else len(piece.items)
    return f"{piece.kind} {piece.first} to {piece.first + n_items} of {piece.name or 'several files'}"


def identity(source: Source) -> list[Any]:
    """Return what tells whether an input is still the same: names, sizes and times of its files."""
    if source.name.startswith(PREFIX):
        return [source.name]
    return [
        [
            shown(path if source.kind == "remote" else os.path.realpath(path)),
            *((status.st_size, status.st_mtime_ns) if status else ()),
        ]
        for path, status in _statuses(source)
    ]


def _statuses(source: Source) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Yield the files of an input, and what the system knows of them."""
    for path in parts(source.path) if source.kind == "dataset" else source.files.paths:
        is_there = source.kind == "remote" or not not_regular(path)
        yield path, _status(path) if is_there else None


def _status(path: Path) -> os.stat_result | None:
    """Return what the system knows of a file, None of one that is not there: whoever reads it says why."""
    try:
        return path.stat()
    except OSError as error:
        if may_pass(error):
            raise StorageError(str(named(error, shown(path)))) from error
        return None


Cutter = Callable[[Path], Iterator[Piece]]


def _cutter(file: StructureFile) -> Cutter | None:
    """Return what cuts a file, None for one that is handed on whole."""
    path = file.path
    if file.single or problem_of(path):
        return None
    if file.kind == "bundle":
        return partial(_of_bundle, in_place=True)
    try:
        if file.kind != "database" and path.stat().st_size <= SMALL_FILE:
            return None
    except OSError:  # it has just gone
        return None
    if split_name(path)[1] in {".jsonl", ".ndjson"}:
        return _of_lines
    return _of_frames if path.suffix.lower() in {".xyz", ".extxyz"} else _of_others


def _of_remote(path: Path) -> Iterator[Piece]:
    """Yield the pieces of a file that is not on this machine; clients of storage have errors of their own."""
    try:
        yield from _cut_remote(path)
    except (CrystalliteError, OSError):
        raise
    except Exception as error:
        raise StorageError(f"{shown(path)}: {first_line(error)}") from error


def _cut_remote(path: Path) -> Iterator[Piece]:
    if path.suffix.lower() == ".parquet":
        yield from _of_dataset(path, shown(path))
    elif kind_of(path) == "bundle":
        yield from _of_bundle(path)
    elif split_name(path)[1] in {".jsonl", ".ndjson"}:
        yield from _of_lines(path)
    elif path.suffix.lower() in {".xyz", ".extxyz"}:
        yield from _of_frames(path)
    else:
        known = ".tar, .zip, .jsonl, .extxyz and .parquet"
        raise CrystalliteError(f"{shown(path)}: of files that are elsewhere {known} are read: copy it here")


def _of_bundle(path: Path, *, in_place: bool = False) -> Iterator[Piece]:
    """Yield the pieces of a bundle; in_place: those of a plain tar file say where members lie."""
    with path.open("rb") as file:
        members = each_member(file, shown(path), in_place=in_place)
        yield from _pieces("members", path, members, file, _bytes_of_member)


def _of_lines(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        lines = each_line(path, file)
        first = next(lines, b"")
        if is_crystal_line(first):
            yield from _pieces("lines", path, chain([first], lines), file, len)
            return
    yield from _of_others(path)  # one value, or several each on many lines


def _of_frames(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        frames = each_frame(TextIOWrapper(file, "utf-8-sig", errors="replace"), shown(path))
        yield from _pieces("frames", path, frames, file, _length_of_frame)


def _of_others(path: Path) -> Iterator[Piece]:
    [file] = with_ids([path])
    records = (Found(record.id, shown(path), record.crystal) for record in read_structures(file))
    yield from _pieces("found", path, records, None, _length_of_crystal)


def _of_dataset(path: Path, name: str) -> Iterator[Piece]:
    from ..datasets.dataset import Dataset
    from ..datasets.parquet import iter_tables, n_rows

    try:
        total = n_rows(path)
    except CrystalliteError:
        total = 0  # it is met again after the crystals before it
    first = 0
    for table in iter_tables(path, CRYSTALS):
        for batch in _of_few_atoms(Dataset(table)):
            done = (first + len(batch.ids)) / total if total else 0.0
            yield Piece("arrays", name, first, (batch.ids, batch.arrays), done)
            first += len(batch.ids)


def _of_few_atoms(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a dataset in parts that a process can hold the graphs of."""
    offsets, first = dataset.arrays.offsets, 0
    while first < len(dataset):
        most = offsets[first] + MOST_BYTES // _BYTES_OF_ATOM
        end = max(first + 1, int(np.searchsorted(offsets, most, side="right")) - 1)
        yield dataset[first:end] if end - first < len(dataset) else dataset
        first = end


def _pieces(
    kind: str, path: Path, items: Iterable[Any], file: IO[bytes] | None, size: Callable[[Any], int]
) -> Iterator[Piece]:
    """Yield pieces of CRYSTALS items, or of fewer that are large."""
    name, total = shown(path), path.stat().st_size
    first, taken, n_taken = 0, [], 0
    problem: CrystalliteError | OSError | None = None
    try:
        for item in items:
            taken.append(item)
            n_taken += size(item)
            if len(taken) == CRYSTALS or n_taken > MOST_BYTES:
                yield Piece(kind, name, first, taken, file.tell() / total if file else 0.0)
                first, taken, n_taken = first + len(taken), [], 0
    except (CrystalliteError, OSError) as error:
        problem = error  # after what came before it
    if taken:
        yield Piece(kind, name, first, taken, 1.0)
    if problem:
        raise problem


def _bytes_of_member(member: Member) -> int:
    if isinstance(member.content, Stretch):
        return member.content.size
    return len(member.content) if isinstance(member.content, bytes) else 0


def _length_of_crystal(found: Found) -> int:
    return _BYTES_OF_ATOM * len(found.crystal) if isinstance(found.crystal, Crystal) else 0


def _length_of_frame(frame: str | CrystalError) -> int:
    return len(frame) if isinstance(frame, str) else 0
