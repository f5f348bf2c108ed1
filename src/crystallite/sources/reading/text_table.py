"""Tables as text: their encoding, what separates their columns, and the line of the file each row is in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...datasets.columns import is_number_text
from ...errors import CrystalliteError
from .archive_stream import unpacked
from .input_file import shown, text_of

SEPARATORS = {"\t": "a tab", ";": ";", ",": ","}  # in the order of preference where the file leaves a choice
SAMPLE = 1000  # rows whose numbers are counted to choose the separator
OTHER_FILES = {
    b"PK\x03\x04": "a spreadsheet (or another zip archive)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file whose name does not end in .parquet",
    b"SQLite format 3": "a database",
    b"%PDF": "a PDF",
}
SEPARATOR_LINE = re.compile(r"\A\s*sep=(.)\r?\n", re.IGNORECASE)  # Excel's own way to name it


@dataclass(frozen=True)
class TextTable:
    """The rows of a text file, cells stripped of spaces; rows without any text are left out.

    lines: the line of the file, counted from 1, where each row begins. separator: between the columns.
    notices: what whoever imports it should be told.
    """

    path: Path
    rows: list[list[str]]
    lines: list[int]
    separator: str = ","
    notices: list[str] = field(default_factory=list)

    def place(self, row: int) -> str:
        """Return file and line of a row, for messages."""
        return f"{shown(self.path)}, line {self.lines[row]}"


def read_text_table(path: Path, id_column: str | None = None) -> TextTable:
    """Read a table with columns separated by commas, semicolons or tabs, in UTF-8, UTF-16 or Latin-1.

    id_column: a name that the header has, which helps to tell the separator. Raises CrystalliteError naming
    the file (and the line) if it cannot be read, is of another kind, or has an unclosed quote.
    """
    data = unpacked(path)
    for magic, kind in OTHER_FILES.items():
        if data.startswith(magic):
            raise CrystalliteError(f"{shown(path)}: {kind}, not a text table; save it as CSV (UTF-8)")
    text, encoding = text_of(data)
    if "\0" in text:
        raise CrystalliteError(f"{shown(path)}: not a text table (it has zero bytes); save it as CSV (UTF-8)")
    named = SEPARATOR_LINE.match(text)
    if named:
        found, problem = _rows(text[named.end() :], named[1], first_line=2)
    else:
        found, problem = _best(text, id_column)
    if problem:
        raise CrystalliteError(f"{shown(path)}, {problem}")
    rows, lines, separator = found
    notices = [f"{path.name} is not UTF-8; it is read as Latin-1"] if encoding == "latin-1" else []
    return TextTable(path, rows, lines, separator, notices)


Rows = tuple[list[list[str]], list[int], str]


def _best(text: str, id_column: str | None) -> tuple[Rows, str]:
    """Return the rows of the separator that fits best, and what is wrong if none does."""
    tried = [_rows(text, separator) for separator in SEPARATORS if separator in text]
    tried = tried or [_rows(text, ",")]
    readable = [found for found, problem in tried if not problem]
    if not readable:
        return tried[-1]
    return max(readable, key=lambda found: _fit(found, id_column)), ""  # the first of equal ones


def _fit(found: Rows, id_column: str | None) -> tuple[bool, bool, int]:
    """Return how well the rows look like a table: the better, the larger."""
    rows, _, separator = found
    header = rows[0] if rows else []
    regular = len(header) > 1 and all(len(row) == len(header) for row in rows)
    numbers = sum(is_number_text(cell, comma=separator != ",") for row in rows[:SAMPLE] for cell in row)
    return id_column in header and len(header) > 1, regular, numbers


def _rows(text: str, separator: str, first_line: int = 1) -> tuple[Rows, str]:
    """Return the rows and their lines, and which line cannot be read and why, or ""."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = first_line
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if any(row):
                rows.append(row)
                lines.append(line)
            line = first_line + reader.line_num
    except csv.Error as error:
        reason = "a quote is not closed" if "unexpected end" in str(error) else str(error)
        return (rows, lines, separator), f"line {line}: {reason}"
    return (rows, lines, separator), ""


def described(separator: str) -> str:
    """Return a separator as messages name it."""
    return SEPARATORS.get(separator, repr(separator))


def trimmed(row: Sequence[str], width: int) -> list[str]:
    """Return a row without empty cells beyond `width`, as spreadsheets write them."""
    cells = list(row)
    while len(cells) > width and not cells[-1]:
        cells.pop()
    return cells
