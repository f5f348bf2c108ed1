"""What has been read of many files, kept part by part, so that an interrupted import resumes."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ... import __version__
from ...crystals.crystal import Crystal, CrystalArrays, pack_crystals
from ...crystals.notices import CrystalNotice, gathered
from ...errors import CrystalError
from ...files.failures import may_pass
from ...files.writing import atomic_path
from ..reading.record import Record
from ..reading.structure_files import StructureFile
from ..reading.structures import read_structures

PART = 1000  # files

Read = tuple[list[Record], list[CrystalNotice]]  # of a file: its crystals, and what is odd about it


def read_part(files: Sequence[StructureFile], id_column: str, folder: Path | None) -> list[Read]:
    """Read files, or what `folder` has kept of them as they are now; then it has."""
    path = folder / f"{_key(files)}.npz" if folder else None
    kept = _kept(path) if path else None
    if kept is not None:
        return kept
    reads = []
    for file in files:
        with gathered() as notices:
            reads.append((list(read_structures(file, id_column)), notices))
    if path and not any(may_pass(record.crystal) for found, _ in reads for record in found):
        _keep(path, reads)
    return reads


def forget(folder: Path) -> None:
    """Delete what was kept, and the folder if nothing else is in it."""
    for path in folder.glob("*.npz"):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _key(files: Sequence[StructureFile]) -> str:
    """Return a name for these files in their present state, read by this version."""
    facts = [__version__]
    for file in files:
        with suppress(OSError):  # reading it says what is wrong
            state = file.path.stat()
            facts += [str(file.path), file.kind, file.id, str(state.st_size), str(state.st_mtime_ns)]
    return hashlib.sha256("\0".join(facts).encode(errors="surrogateescape")).hexdigest()[:32]


def _keep(path: Path, reads: Sequence[Read]) -> None:
    """Write what was read of files that have no properties of their own."""
    records = [record for found, _ in reads for record in found]
    about = [
        {
            "records": [
                (r.id, (r.crystal.source, r.crystal.reason) if isinstance(r.crystal, CrystalError) else None)
                for r in found
            ],
            "notices": [(notice.source, notice.kind, notice.detail) for notice in notices],
        }
        for found, notices in reads
    ]
    arrays = pack_crystals(record.crystal for record in records if isinstance(record.crystal, Crystal))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays._asdict())


def _kept(path: Path) -> list[Read] | None:
    """Return what `_keep` wrote; None if it is not there, or damaged."""
    try:
        with np.load(path) as file:
            arrays = CrystalArrays(*(file[name] for name in CrystalArrays._fields))
            about = json.loads(file["about"].tobytes())
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    crystals = iter(range(arrays.n_crystals))
    return [
        (
            [
                Record(name, CrystalError(*error) if error else arrays.crystal(next(crystals)), {})
                for name, error in of_file["records"]
            ],
            [CrystalNotice(*notice) for notice in of_file["notices"]],
        )
        for of_file in about
    ]
