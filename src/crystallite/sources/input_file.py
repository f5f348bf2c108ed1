"""The bytes of one input file: a regular file, decompressed as its name says, of a bounded size."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..errors import CrystalError, CrystalliteError
from ..files import irregular
from .archive_stream import ALWAYS_UNPACKED, COMPRESSIONS, MOST_EXPANSION


def problem_of(path: Path) -> str:
    """Return why `path` cannot be read as a file, or "" if nothing speaks against it; nothing is opened."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "the name is not valid text; rename the file"
    reason = irregular(path)
    return f"cannot read the file: {reason}" if reason else ""


def shown(path: Path | str) -> str:
    """Return a path as messages have it: bytes that are no text are escaped."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def as_crystal_error(error: CrystalliteError, source: str) -> CrystalError:
    """Return the error as one about `source`, whose name is not in it twice."""
    return (
        error
        if isinstance(error, CrystalError)
        else CrystalError(source, str(error).removeprefix(f"{source}: "))
    )


def content(path: Path) -> bytes:
    """Return what is in a file, decompressed if its name ends in .gz, .zst or .zstd.

    Raises CrystalliteError naming it if it is no regular file, cannot be read, or unpacks to more than
    MOST_EXPANSION times its size.
    """
    problem = problem_of(path)
    if problem:
        raise CrystalliteError(f"{shown(path)}: {problem}")
    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        most = max(ALWAYS_UNPACKED, MOST_EXPANSION * path.stat().st_size)
        if compression is None:
            return path.read_bytes()
        with pa.input_stream(str(path), compression=compression) as file:
            data: bytes = file.read(most + 1)
    except (OSError, pa.ArrowInvalid) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CrystalliteError(f"{path}: cannot read the file: {reason}") from None
    if len(data) > most:
        raise CrystalliteError(
            f"{path}: it unpacks to more than {MOST_EXPANSION} times its size; unpack it first if it is what "
            "it should be"
        )
    return data


def text_of(data: bytes) -> tuple[str, str]:
    """Return the text of a file, and the encoding it is in: utf-8, utf-16 (told by its mark) or latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "latin-1"  # Windows' superset of it
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"
