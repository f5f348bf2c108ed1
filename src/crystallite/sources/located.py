"""What a word that names data stands for: one answer, wherever a command or function asks for data."""

from __future__ import annotations

import glob
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from ..builtin import BUILTIN, builtin_path
from ..errors import CrystalliteError
from .parquet import parquet_parts

PREFIX = "builtin:"  # before the name of a built-in dataset: never a file or a folder


class Source(NamedTuple):
    """Where data is.

    kind: `dataset` is a Parquet file or a folder of them, `published` a folder with id_prop.csv and CIFs,
    `cifs` a CIF, a folder or a pattern of them. name: finds the same from any folder,
    builtin:NAME or a whole path.
    """

    kind: Literal["dataset", "published", "cifs"]
    path: Path
    name: str


def located(word: str | Path) -> Source:
    """Return what `word` stands for: a built-in name, a file, a folder or a pattern of CIFs.

    A folder with id_prop.csv is `published`, else one with CIFs is `cifs`, else one with Parquet files in it
    or below is a `dataset`. Raises CrystalliteError for anything else, and for the name of a built-in dataset
    that is also the name of a file or folder here (a Path is always the latter).
    """
    path, text = Path(word), str(word)
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
    return Source(_kind(path), path, str(path.resolve()))


def stored(name: str) -> str:
    """Return a Source's name as a run folder holds it; version 0.1.0 wrote built-in names bare."""
    return f"{PREFIX}{name}" if name in BUILTIN else name


def cif_files(source: str | Path) -> list[Path]:
    """Return the CIFs of a folder (not of those in it) or a pattern such as db/**/*.cif, in order."""
    path = Path(source)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.is_file():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(source), recursive=True)]  # noqa: PTH207
    cifs = sorted(file for file in found if file.suffix.lower() == ".cif")
    for file in cifs:
        try:
            file.stem.encode()
        except UnicodeEncodeError:
            raise CrystalliteError(f"{str(file)!r}: the name is not valid text; rename the file") from None
    return cifs


def suggestion(name: str, known: list[str]) -> str:
    """Return what to add to a message about an unknown name."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    listed = f"there are: {', '.join(known)}" if known else "there are none"
    return f" (did you mean {' or '.join(close)}?); {listed}" if close else f"; {listed}"


def _builtin(name: str) -> Source:
    if name not in BUILTIN:
        raise CrystalliteError(f"no built-in dataset {name!r}{suggestion(name, list(BUILTIN))}")
    return Source("dataset", builtin_path(name), f"{PREFIX}{name}")


def _kind(path: Path) -> Literal["dataset", "published", "cifs"]:
    if path.is_dir():
        if (path / "id_prop.csv").is_file():
            return "published"
        if cif_files(path):
            return "cifs"
        if parquet_parts(path):
            return "dataset"
        raise CrystalliteError(f"{path}: a folder without id_prop.csv, CIFs and .parquet files")
    if path.exists():
        if path.suffix.lower() == ".parquet":
            return "dataset"
        if path.suffix.lower() == ".cif":
            return "cifs"
        raise CrystalliteError(
            f"{path}: neither a dataset (.parquet) nor a CIF (.cif); "
            f"other files go through: crystallite data import {path} -o DATA.parquet"
        )
    if cif_files(path):
        return "cifs"
    raise CrystalliteError(
        f"{path}: no such file, folder or pattern of CIFs, and no built-in dataset"
        f"{suggestion(str(path), list(BUILTIN))}"
    )
