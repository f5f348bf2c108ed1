"""Which paths are Parquet datasets, and their parts; told without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def is_parquet_dataset(path: Path) -> bool:
    """Whether `path` is a .parquet file, there or a link to nowhere, or a folder with Parquet files in it.

    A folder is searched to the first of them.
    """
    if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises PermissionError)
        return next(_parts_in(path), None) is not None
    return path.suffix.lower() == ".parquet" and os.path.lexists(path)


def _parts_in(folder: Path) -> Iterator[Path]:
    """Yield the Parquet files in and below a folder, from there; hidden files and folders do not count."""
    found = (path.relative_to(folder) for path in folder.rglob("*.parquet"))
    return (part for part in found if not any(name[0] in "._" for name in part.parts))


def parts(path: Path) -> list[Path]:
    """Return the Parquet files of `path` (a file or a folder) in the order of their names."""
    return [path / part for part in sorted(_parts_in(path))] if path.is_dir() else [path]
