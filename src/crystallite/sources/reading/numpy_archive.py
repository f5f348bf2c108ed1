"""Importing crystals from a NumPy archive (.npz) of flat arrays, with properties from a table."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...crystals.crystal import Crystal, CrystalArrays, as_numbers, check_crystal
from ...errors import CrystalliteError
from ...files.npy import read_header
from ...files.writing import irregular
from .archive_stream import most_unpacked
from .record import CrystalResult, attempted

_KINDS = {"ids": "USiu", "lattice": "fiu", "offsets": "iu", "numbers": "iu", "frac": "fiu"}  # NumPy's letters
_UNREADABLE = (
    OSError, ValueError, TypeError, RuntimeError, NotImplementedError, MemoryError, EOFError, RecursionError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, SyntaxError,
)  # fmt: skip
ARRAYS = {"ids": "(N,)", "lattice": "(N, 3, 3)", "offsets": "(N + 1,)", "numbers": "(n,)", "frac": "(n, 3)"}


def read_crystals(path: Path) -> Iterator[tuple[str, CrystalResult]]:
    """Yield ids and crystals, or why one cannot be used; raises CrystalliteError as import_archive."""
    ids, arrays = _read_arrays(path)
    for index, name in enumerate(ids):
        yield name, attempted(_checked, arrays.crystal(index), f"{path}, {name}")


def _checked(crystal: Crystal, place: str) -> Crystal:
    check_crystal(crystal, place)
    return crystal


def _read_arrays(path: Path) -> tuple[list[str], CrystalArrays]:
    found = _read_members(path)
    _check_shapes(path, found)
    ids = [_id(name, path) for name in found["ids"].tolist()]
    if len(set(ids)) < len(ids):
        raise CrystalliteError(f"{path}: some ids are repeated, so rows of a table cannot be told apart")
    return ids, CrystalArrays(
        lattices=found["lattice"].astype(np.float64),
        offsets=found["offsets"].astype(np.int64),
        numbers=as_numbers(found["numbers"]),
        frac_coords=found["frac"].astype(np.float64),
    )


def _read_members(path: Path) -> dict[str, Any]:
    """Read the arrays of ARRAYS; each is of a kind it may have, and no larger than the file can hold."""
    if reason := irregular(path):
        raise CrystalliteError(f"{path}: not a readable NumPy archive: {reason}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            missing = [name for name in ARRAYS if f"{name}.npy" not in members]
            if missing:
                raise CrystalliteError(f"{path}: no array {', '.join(missing)}; it needs {_layout()}")
            chosen = {name: members[f"{name}.npy"] for name in ARRAYS}
            if sum(info.file_size for info in chosen.values()) > most_unpacked(path):
                raise ValueError("its arrays are far larger than the file")
            return {name: _read_member(archive, info, _KINDS[name]) for name, info in chosen.items()}
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise CrystalliteError(f"{path}: not a readable NumPy archive: {reason}") from None


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> Any:
    """Read one array; its header is believed only as far as there are bytes for it."""
    name = info.filename
    with archive.open(info) as file:
        header = read_header(file)
        if header.kind.kind not in kinds:
            raise ValueError(f"{name} holds {header.kind}")
        content = file.read()
    shape, kind = header.shape, header.kind
    if math.prod(shape) * kind.itemsize != len(content) or min(shape, default=0) < 0:
        raise ValueError(f"{name} is said to be {kind} {shape}, which its {len(content):,} bytes are not")
    return header.array(np.frombuffer(content, np.uint8))


def _id(name: object, path: Path) -> str:
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError:
        raise CrystalliteError(f"{path}: the id {name!r} is not UTF-8 text") from None


def _check_shapes(path: Path, found: dict[str, Any]) -> None:
    offsets, n_atoms, n_crystals = found["offsets"], found["numbers"].size, found["ids"].size
    fits = (
        found["ids"].shape == (n_crystals,)
        and found["lattice"].shape == (n_crystals, 3, 3)
        and offsets.shape == (n_crystals + 1,)
        and found["numbers"].shape == (n_atoms,)
        and found["frac"].shape == (n_atoms, 3)
        and offsets[0] == 0
        and offsets[-1] == n_atoms
        and bool((offsets[1:] >= offsets[:-1]).all())
    )
    if not fits:
        raise CrystalliteError(f"{path}: the arrays do not fit together; it needs {_layout()}")


def _layout() -> str:
    return ", ".join(f"{name} {shape}" for name, shape in ARRAYS.items())
