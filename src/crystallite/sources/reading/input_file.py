"""What speaks against reading a file, how its name is shown, and its text."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import CrystalError, CrystalliteError
from ...files.failures import may_pass
from ...files.writing import irregular


def is_file(path: str | Path) -> bool:
    """Whether a regular file is there; also False if its folder cannot be looked into."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises PermissionError)


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; also False if the folder it is in cannot be looked into."""
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises PermissionError)


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
    """Return the error as one about `source`, or about a part of it that it names: `x.xyz, crystal 3`."""
    if isinstance(error, CrystalError):
        return error
    text = str(error)
    part, _, reason = text.removeprefix(source).partition(": ")
    is_named = text.startswith(source) and reason and (not part or part.startswith(", "))
    about = CrystalError(f"{source}{part}", reason) if is_named else CrystalError(source, text)
    if may_pass(error):
        about.__cause__ = error
    return about


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
