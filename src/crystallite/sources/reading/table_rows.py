"""What a table that was read knows of its file, in its metadata: notices, and the line of every row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

NOTICES = b"notices"  # key in a table's metadata: what whoever imports it should be told, one notice per line
LINES = b"lines"  # key in a table's metadata: the line of the file of every row, int64


def place_of_row(table: pa.Table, listing: str, row: int) -> str:
    """Return where a row (from 0) of a table of `read_table` is: the file and its line or row, from 1."""
    lines = (table.schema.metadata or {}).get(LINES)
    return (
        f"{listing}, row {row + 1}"
        if lines is None
        else f"{listing}, line {np.frombuffer(lines, np.int64)[row]}"
    )
