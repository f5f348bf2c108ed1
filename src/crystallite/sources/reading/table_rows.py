"""What a table that was read knows of its file, in its metadata: notices, and the line of every row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

NOTICES = b"notices"  # key in a table's metadata: what whoever imports it should be told, one notice per line
LINES = b"lines"  # key in a table's metadata: the line of the file of every row, int64


def row_places(table: pa.Table, listing: str) -> list[str]:
    """Return where each row of a table of `read_table` is, for messages: the file and its line or row."""
    lines = (table.schema.metadata or {}).get(LINES)
    if lines is None:
        return [f"{listing}, row {row}" for row in range(1, len(table) + 1)]
    return [f"{listing}, line {line}" for line in np.frombuffer(lines, np.int64).tolist()]
