"""Files in object storage and on servers (s3://, gs://, https://, ...), read where they lie by fsspec."""

from __future__ import annotations

from pathlib import Path

from ..errors import CrystalliteError, first_line
from ..extras import needed
from .reading.structure_files import FoundFiles
from .resolver import Source

MARK = "://"


def is_remote(word: str | Path) -> bool:
    """Whether a word is the address of something that is not on this machine."""
    return isinstance(word, str) and MARK in word


def remote_source(word: str) -> Source:
    """Return what an address, or a pattern of addresses, stands for: paths that can be opened.

    Raises CrystalliteError where nothing is found, or the package for this kind of storage is missing.
    """
    upath = needed("upath", word, "crystallite[screen]")
    try:
        path = upath.UPath(word)
        found = sorted(path.parent.glob(path.name), key=str) if "*" in path.name else [path]
        is_there = bool(found) and found[0].is_file()
    except (ImportError, OSError, ValueError) as error:  # ImportError: of s3fs, gcsfs, ...
        raise CrystalliteError(f"{word}: {first_line(error)}") from None
    if not is_there:
        raise CrystalliteError(f"{word}: no such file there, and no pattern of files")
    return Source("remote", path, word, FoundFiles(found, []))
