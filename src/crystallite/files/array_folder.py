"""Arrays in a folder, written piece by piece and mapped, so that they may be larger than memory.

A folder of .npy files appears whole or not at all, and is checked (CRC-32 of each file) when it is read. What
a killed process has written so far is kept, and the next one goes on from there.

Folders below IN_MEMORY are read into memory: what becomes of the files later does not matter. Larger ones
are mapped, so that processes share them. A process that reads a mapped file which another one cuts would be
killed (SIGBUS), so files are never written to again: they are read-only, and a folder is replaced by another
one, while readers keep the files of the old one.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from .npy import read_header

HEADER = 4096  # bytes in which the header of an .npy file ends
IN_MEMORY = 64 << 20  # bytes of a folder
SAVE_EVERY = 256 << 20  # bytes between places from which a writer goes on
_PIECE = 1 << 18  # bytes read at once for a checksum
_MANIFEST, _PROGRESS = "manifest.json", "progress.json"

Arrays = dict[str, NDArray[Any]]


class ArrayWriter:
    """Arrays that grow at their ends, in a folder.

    `lengths`: rows of each array so far; a killed writer's, and none of a new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._rows: dict[str, NDArray[Any]] = {}  # no rows of each array: what kind they are
        self.lengths: dict[str, int] = {}
        self._files: dict[str, BinaryIO] = {}
        self._unsaved = 0
        try:
            self._take_up()
        except (OSError, ValueError, KeyError, TypeError):
            self.close()
            self._rows, self.lengths, self._files = {}, {}, {}

    def append(self, **pieces: NDArray[Any]) -> None:
        """Append rows to the arrays of these names; the first call makes them, and names all of them."""
        for name, piece in pieces.items():
            if name not in self._files:
                self._rows[name], self.lengths[name] = piece[:0].copy(), 0
                self._files[name] = (self.folder / f"{name}.npy").open("wb")
                self._files[name].write(self._header(name))
            self._files[name].write(np.ascontiguousarray(piece).data.cast("B") if piece.size else b"")
            self.lengths[name] += len(piece)
            self._unsaved += piece.nbytes
        if self._unsaved > SAVE_EVERY:
            self._save()

    def finish(self) -> None:
        """Write the lengths into the headers, and the checksums."""
        for name, file in self._files.items():
            file.seek(0)
            file.write(self._header(name))
            file.close()
            (self.folder / f"{name}.npy").chmod(0o444)
        manifest = {name: _checksum(self.folder / f"{name}.npy") for name in self._files}
        (self.folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        (self.folder / _PROGRESS).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _header(self, name: str) -> bytes:
        """Return the header of an array; NumPy leaves room in it for any number of rows."""
        header, rows = io.BytesIO(), self._rows[name]
        shape = (self.lengths[name], *rows.shape[1:])
        write_array_header_1_0(header, {"descr": rows.dtype.str, "fortran_order": False, "shape": shape})
        return header.getvalue()

    def _save(self) -> None:
        """Keep what is written so far, should the process be killed."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        kinds = {name: [rows.dtype.str, rows.shape[1:]] for name, rows in self._rows.items()}
        text = json.dumps({"lengths": self.lengths, "kinds": kinds})
        (self.folder / "progress.new").write_text(text, encoding="utf-8")
        (self.folder / "progress.new").replace(self.folder / _PROGRESS)
        self._unsaved = 0

    def _take_up(self) -> None:
        """Go on where a killed process has saved; raises what says that it has not."""
        progress = json.loads((self.folder / _PROGRESS).read_text(encoding="utf-8"))
        for name, length in progress["lengths"].items():
            kind, shape = progress["kinds"][name]
            self._rows[name], self.lengths[name] = np.empty((0, *shape), kind), length
            path = self.folder / f"{name}.npy"
            size = len(self._header(name)) + length * self._rows[name].itemsize * int(np.prod(shape))
            if path.stat().st_size < size:
                raise ValueError(f"{path} is cut")
            os.truncate(path, size)
            self._files[name] = path.open("r+b")
            self._files[name].seek(size)


def written_once(folder: Path, names: Sequence[str], write: Callable[[ArrayWriter], None]) -> Arrays | None:
    """Return the arrays of a folder, which `write` makes unless they are there.

    Two processes that ask at once write once. None if the arrays cannot be read though they were just
    written. Raises OSError where they cannot be written, and what `write` raises; nothing is left then,
    unless the process was stopped.
    """
    arrays = read_arrays(folder, names)
    if arrays is not None:
        return arrays
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        arrays = read_arrays(folder, names)
        if arrays is None:
            _written(folder, write)
            arrays = read_arrays(folder, names)
    return arrays


def read_arrays(folder: Path, names: Sequence[str]) -> Arrays | None:
    """Return the arrays of a folder, not to be written to; None if they are absent or damaged."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = {name: folder / f"{name}.npy" for name in names}
        is_small = sum(path.stat().st_size for path in files.values()) < IN_MEMORY
        # The whole file counts: its header says how to read the numbers.
        if any(_checksum(path) != manifest[name] for name, path in files.items()):
            return None
        return {name: _array(_content(path, is_small)) for name, path in files.items()}
    except (OSError, ValueError, KeyError, TypeError, MemoryError, RecursionError):
        return None


def _written(folder: Path, write: Callable[[ArrayWriter], None]) -> None:
    temporary = folder.with_name(f".building-{folder.name}")  # the lock is ours, so it is of a killed process
    try:
        writer = ArrayWriter(temporary)
        try:
            write(writer)
            writer.finish()
        finally:
            writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except Exception:  # not KeyboardInterrupt: who stops it may want to go on
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return checksum


def _content(path: Path, is_small: bool) -> NDArray[np.uint8]:
    """Return the bytes of a file, read or mapped."""
    if not is_small:
        return np.memmap(path, np.uint8, "r").view(np.ndarray)
    content = np.fromfile(path, np.uint8)
    content.flags.writeable = False
    return content


def _array(content: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the array of an .npy file's bytes, over their memory, which is not to be written to.

    A plain array also over mapped memory: compiled code is made for these, not for np.memmap.
    """
    head = io.BytesIO(content[:HEADER].tobytes())
    header = read_header(head)
    return header.array(content[head.tell() :])
