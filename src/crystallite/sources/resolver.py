"""What a word that names data stands for: one answer, wherever a command or function asks for data."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..datasets.builtin import BUILTIN, PREFIX, builtin_name, builtin_path
from ..datasets.parquet_paths import is_parquet_dataset
from ..errors import CrystalliteError, suggestion
from .reading.input_file import is_file, is_folder
from .reading.structure_files import FoundFiles, cifs_in, found_files

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset


class Source(NamedTuple):
    """Where data is.

    kind: `dataset` is a Parquet file or a folder of them, `published` a folder with id_prop.csv and CIFs,
    `structures` any other file, folder or pattern of files with structures. name: finds the same from any
    folder, builtin:NAME or a whole path. files: with structures, and notices about their choice. `remote`
    ones are at an address and have their files in `files`, whatever is in them; see `remote`.
    """

    kind: Literal["dataset", "published", "structures", "remote"]
    path: Path
    name: str
    files: FoundFiles = FoundFiles([], [])


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
    name = builtin_name(word)
    if name is not None:
        return Source("dataset", builtin_path(name), f"{PREFIX}{name}")
    kind, files = _kind(path)
    return Source(kind, path, os.path.realpath(path), files)


def read_dataset(word: str | Path) -> Dataset:
    """Read the dataset that a word stands for, as the command line does.

    Args:
        word: what `Dataset.read` takes, a built-in name, a .parquet file or a folder of Parquet files; or a
            folder in the layout of the published CGCNN code, id_prop.csv and a CIF for every id. What is odd
            in the latter is a warning.

    Returns:
        The crystals, their ids and their properties, each in the unit that the file states.

    Raises:
        CrystalliteError: if it is none of these, or for a malformed file, naming file, column and row.
    """
    kind, path = located(word)[:2]
    if kind == "published":
        from .importers.folder import import_published

        imported = import_published(path)
        for notice in imported.notices:
            warnings.warn(notice, stacklevel=2)
        return imported.dataset
    if kind == "structures":
        raise CrystalliteError(
            f"{word} holds crystals and is not a dataset; make one from them, with a table if "
            f"they lack properties: crystallite data import {word} --table TABLE.csv -o DATA.parquet"
        )
    from ..datasets.dataset import Dataset

    return Dataset.read(path)


def stored(name: str) -> str:
    """Return a Source's name as a run folder holds it; version 0.1.0 wrote built-in names bare."""
    return f"{PREFIX}{name}" if name in BUILTIN else name


def _kind(path: Path) -> tuple[Literal["dataset", "published", "structures"], FoundFiles]:
    if is_folder(path):
        if is_file(path / "id_prop.csv"):
            return "published", FoundFiles(cifs_in(path), [])
        found = found_files(path)
        if found.paths:
            return "structures", found
        if is_parquet_dataset(path):
            return "dataset", found
        raise CrystalliteError(
            f"{path}: a folder without id_prop.csv, CIFs, POSCARs and .parquet files; other files in it are "
            f"named alone or by a pattern, such as '{path}/*.extxyz'"
        )
    if is_parquet_dataset(path):
        return "dataset", FoundFiles([], [])
    try:
        return "structures", found_files(path)
    except CrystalliteError as error:
        hint = (
            ""
            if os.path.lexists(path)
            else f", and no built-in dataset{suggestion(str(path), list(BUILTIN))}"
        )
        raise CrystalliteError(f"{error}{hint}") from None
