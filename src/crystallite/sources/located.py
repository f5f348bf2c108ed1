"""What a word that names data stands for: one answer, wherever a command or function asks for data."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from ..builtin import BUILTIN, builtin_path
from ..errors import CrystalliteError
from .input_file import is_file, is_folder
from .parquet import parquet_parts
from .structure_files import Found, cifs_in, found_files

PREFIX = "builtin:"  # before the name of a built-in dataset: never a file or a folder


class Source(NamedTuple):
    """Where data is.

    kind: `dataset` is a Parquet file or a folder of them, `published` a folder with id_prop.csv and CIFs,
    `structures` any other file, folder or pattern of files with structures. name: finds the same from any
    folder, builtin:NAME or a whole path. files: with structures, and notices about their choice.
    """

    kind: Literal["dataset", "published", "structures"]
    path: Path
    name: str
    files: Found = Found([], [])


def located(word: str | Path) -> Source:
    """Return what `word` stands for: a built-in name, a file, a folder or a pattern of files.

    A folder with id_prop.csv is `published`, else one with structures as structure_files finds them is
    `structures`, else one with Parquet files in it or below is a `dataset`. Raises CrystalliteError for
    anything else, and for the name of a built-in dataset that is also the name of a file or folder here (a
    Path is always the latter).
    """
    path, text = Path(word), str(word)
    if not text:
        raise CrystalliteError("the name of the data is empty")
    if isinstance(word, str) and text.startswith(PREFIX):
        return _builtin(text.removeprefix(PREFIX))
    if text in BUILTIN and not path.exists():
        return _builtin(text)
    if isinstance(word, str) and text in BUILTIN:
        what = "folder" if path.is_dir() else "file"
        raise CrystalliteError(
            f"{text} is a built-in dataset and a {what} here: "
            f"write {PREFIX}{text} for the one, ./{text} for the other"
        )
    kind, files = _kind(path)
    return Source(kind, path, os.path.realpath(path), files)


def stored(name: str) -> str:
    """Return a Source's name as a run folder holds it; version 0.1.0 wrote built-in names bare."""
    return f"{PREFIX}{name}" if name in BUILTIN else name


def suggestion(name: str, known: list[str]) -> str:
    """Return what to add to a message about an unknown name."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    listed = f"there are: {', '.join(known)}" if known else "there are none"
    return f" (did you mean {' or '.join(close)}?); {listed}" if close else f"; {listed}"


def _builtin(name: str) -> Source:
    if name not in BUILTIN:
        raise CrystalliteError(f"no built-in dataset {name!r}{suggestion(name, list(BUILTIN))}")
    return Source("dataset", builtin_path(name), f"{PREFIX}{name}")


def _kind(path: Path) -> tuple[Literal["dataset", "published", "structures"], Found]:
    if is_folder(path):
        if is_file(path / "id_prop.csv"):
            return "published", Found(cifs_in(path), [])
        found = found_files(path)
        if found.paths:
            return "structures", found
        if parquet_parts(path):
            return "dataset", found
        raise CrystalliteError(
            f"{path}: a folder without id_prop.csv, CIFs, POSCARs and .parquet files; other files in it are "
            f"named alone or by a pattern, such as '{path}/*.extxyz'"
        )
    if path.suffix.lower() == ".parquet" and os.path.lexists(path):
        return "dataset", Found([], [])
    try:
        return "structures", found_files(path)
    except CrystalliteError as error:
        hint = (
            ""
            if os.path.lexists(path)
            else f", and no built-in dataset{suggestion(str(path), list(BUILTIN))}"
        )
        raise CrystalliteError(f"{error}{hint}") from None
