"""Parquet datasets larger than memory: ids and properties are read, crystals are mapped.

The crystals of such a dataset are unpacked once into a folder of the cache (`files.array_folder`) that is
named after the contents of the files. The table that is read has them in mapped memory, some 400 bytes a
crystal of 12 atoms that the system reads when they are looked at and forgets when it needs the room.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import pyarrow as pa

from ..crystals.crystal import CrystalArrays
from ..files.array_folder import ArrayWriter, written_once
from ..files.caching import cache_folder
from .parquet import ROW_GROUP, iter_tables, open_parquet, read_parquet, read_properties
from .parquet_paths import parts
from .schema import STRUCTURE, crystal_arrays, structure_arrays, with_structures

MAPPED = 128 << 20  # bytes of Parquet files above which crystals are mapped: half a million crystals
VERSION = 1  # raise it when the same file gives other arrays


def read_table(path: Path) -> pa.Table:
    """Read and check the table of a Parquet file or a folder of them, with mapped crystals if it is large.

    The table is the same either way. Raises what read_parquet raises; warns where the cache cannot be
    written, and reads everything into memory.
    """
    if sum(part.stat().st_size for part in parts(path) if part.is_file()) < MAPPED:
        return read_parquet(path)
    try:
        arrays = written_once(_folder(path), CrystalArrays._fields, lambda writer: _unpack(path, writer))
    except OSError as error:
        warnings.warn(f"crystals cannot be cached in {cache_folder()}: {error}", stacklevel=3)
        arrays = None
    if arrays is None:
        return read_parquet(path)
    return with_structures(read_properties(path), structure_arrays(**arrays))


def _folder(path: Path) -> Path:
    """Return the folder for the crystals of these files."""
    digest = hashlib.sha256(bytes([VERSION]))
    for part in parts(path):
        with open_parquet(part), part.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return cache_folder() / "crystals" / digest.hexdigest()[:32]


def _unpack(path: Path, writer: ArrayWriter) -> None:
    """Write the crystals, a row group at a time, after those that are written already."""
    if not writer.lengths:
        writer.append(**crystal_arrays(STRUCTURE.empty_table())._asdict())
    done, seen = writer.lengths["lattices"], 0
    for table in iter_tables(path, ROW_GROUP):
        seen += len(table)
        if seen > done:
            arrays = crystal_arrays(table)
            offsets = arrays.offsets[1:] + writer.lengths["numbers"]
            writer.append(**arrays._replace(offsets=offsets)._asdict())
