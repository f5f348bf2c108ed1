"""CSV tables for people, who open them in spreadsheets, where text that begins with = is run as a formula.

So text that begins with = + - @ or a control character, and is no number, is written with an apostrophe
before it (and so is such text that has apostrophes before it already). `meant` takes it off again, and all
that reads our tables does so: ids are the same in all files of Crystallite, and exact in Parquet files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from .writing import atomic_path

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](nan|inf)")


def row_writer(file: IO[str]) -> Callable[[Sequence[Any]], object]:
    """Return a function that writes one row; None is an empty cell."""
    writer = csv.writer(file, lineterminator="\n")
    return lambda row: writer.writerow([shown(cell) if isinstance(cell, str) else cell for cell in row])


def write_csv(path: str | Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, the header first, to `path` in one step."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write = row_writer(file)
        for row in rows:
            write(row)


def shown(text: str) -> str:
    """Return text as it is written: no spreadsheet takes it for a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def meant(text: str) -> str:
    """Return the text that `shown` was given."""
    return text[1:] if text[:1] == "'" and shown(text[1:]) == text else text
