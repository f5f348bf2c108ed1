"""Reading properties from JSON and MessagePack archives: {id: {property: value}}, such as rcgcnn's props."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ...errors import CrystalliteError
from .archive_stream import open_archive
from .collecting import Collector
from .known_properties import with_known_names

STRUCTURE_KEYS = {"lattice", "sites"}


def read_properties(path: Path) -> tuple[pa.Table, list[str]]:
    """Return the table (material_id and properties) of an archive {id: {property: value}}, and notices.

    Names, units and rcgcnn's moduli are put right, see known_properties.
    """
    collector = Collector()
    with open_archive(path) as reader:
        for name in reader.members() if reader.is_map() else ():
            value = reader.value()
            if not isinstance(value, dict) or value.keys() >= STRUCTURE_KEYS:
                collector.ids.clear()
                break
            collector.add_properties(name, value)
        if not collector.ids:
            raise CrystalliteError(f"{path}: not an archive of properties, {{id: {{property: value}}}}")
    rows, notices = collector.table(path)
    rows, more = with_known_names(rows)
    return rows, [*notices, *more]
