"""The crystals of a JSON or MessagePack archive one after another, whatever its shape.

Content tells the shape, whatever the encoding:

- {id: structure}: rcgcnn's cifs.
- {id: {"structure": ..., property: value}}: also a pandas table with orient="index".
- [structure, ...] or [{"material_id": ..., "structure": ..., property: value}, ...]: a pymatgen list,
  documents of the Materials Project, JARVIS's records (jid, atoms), a pandas table with orient="records".
- the same dictionaries one after another: JSON lines.
- {"columns": [...], "index": [...], "data": [[structure, value], ...]}: a Matbench task, a pandas table
  ("split").
- {"structure": {row: structure}, property: {row: value}}: a pandas table as it is written by default.
- {"data": [entry, ...]} or {"data": entry}: an OPTIMADE response.
- one structure, or one record.

A structure is any of what structure_shapes knows.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import CrystalError, CrystalliteError, one_line
from .archive_stream import MOST_ITEMS, ArchiveReader
from .archive_table import Table
from .record import Record, attempted
from .structure_shapes import (
    KNOWN,
    described_shape,
    id_text,
    is_record,
    is_structure,
    record_crystal,
    split_record,
    structure_of,
)

MOST_HEADS = 10_000  # members kept until one tells the shape


Records = Generator[Record, None, str]  # returns the shape: cifs, matbench or list


def read_records(reader: ArchiveReader, path: Path, id_column: str) -> Records:
    """Yield the crystals of an archive; return its shape.

    id_column: the key of the ids in records. Raises CrystalliteError naming the file and what was found if
    the shape is not known.
    """
    place = _Place(path, id_column)
    if reader.is_list():
        for row, _ in enumerate(reader.elements()):
            yield place.element(reader.value(), row)
        return "list"
    if not reader.is_map():
        raise CrystalliteError(f"{path}: neither a dictionary nor a list; {KNOWN}")
    shape = yield from _map(reader, place)
    row = 1
    while shape == "list" and not reader.at_end():  # JSON lines
        yield place.element(reader.value(), row)
        row += 1
    return shape


def line_record(line: bytes, path: Path, id_column: str, row: int) -> Record:
    """Return the crystal of a line of JSON lines, number `row` from 0 of those that are not empty."""
    place = f"{path}, element {row + 1}"
    if len(line) > MOST_ITEMS and sum(map(line.count, (b",", b"[", b"{"))) > MOST_ITEMS:
        return Record(str(row), CrystalError(place, f"it has more than {MOST_ITEMS:,} items"), {})
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Record(str(row), CrystalError(place, f"not JSON: {one_line(error)}"), {})
    return _Place(path, id_column).element(value, row)


def is_crystal_line(line: bytes) -> bool:
    """Whether a line is the JSON of one crystal, and not of several or of a part of one."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (is_structure(value) or is_record(value))


class _Place(NamedTuple):
    """Where values come from: makes records of them, with their places in messages."""

    path: Path
    id_column: str

    def member(self, name: str, value: Any) -> Record:
        """Return the record of a member {name: structure} or {name: {structure, properties}}."""
        if not is_record(value):
            return Record(name, attempted(structure_of, value, f"{self.path}, {name}"), {})
        given, structure, properties = split_record(value, self.id_column)
        return self._record(name if given is None else given, structure, properties, name, name)

    def element(self, value: Any, row: int) -> Record:
        """Return the record of an element of a list, which is number `row` from 0."""
        what = f"element {row + 1}"
        if not isinstance(value, dict) or not (is_record(value) or "structure" in value):
            return Record(str(row), attempted(structure_of, value, f"{self.path}, {what}"), {})
        return self._record(*split_record(value, self.id_column), str(row), what)

    def _record(
        self, given: Any, structure: Any, properties: Mapping[str, Any], otherwise: str, what: str
    ) -> Record:
        try:
            found = id_text(given)
            name = otherwise if found is None else found
        except ValueError as error:
            return Record(otherwise, CrystalError(f"{self.path}, {what}", str(error)), dict(properties))
        place = f"{self.path}, {what}" + (f" ({name})" if name != otherwise else "")
        return Record(name, attempted(record_crystal, structure, place), dict(properties))


def _map(reader: ArchiveReader, place: _Place) -> Records:
    """Yield the crystals of a dictionary. `head` holds the members before one whose value tells the shape."""
    head: dict[str, Any] = {}
    shape = ""
    table = Table(head, place.path, place.id_column)
    for key in reader.members():
        if key == "data" and not shape and reader.is_json and reader.is_list():
            shape = yield from _rows(_values(reader), table, place)
            continue
        value = reader.value()
        if not shape and (is_structure(value) or is_record(value)) and not _is_one(key, value):
            shape = "cifs" if is_structure(value) else "list"
            for name, earlier in head.items():
                yield place.member(name, earlier)
        if shape in {"cifs", "list"}:
            yield place.member(key, value)
        else:
            head[key] = value
        if len(head) > MOST_HEADS:
            break
    if shape == "table":
        yield from table.rest()
        return "matbench"
    if shape == "entries":
        return "list"
    return shape or (yield from _whole(head, place, not reader.is_json or reader.at_end()))


def _is_one(key: str, value: Any) -> bool:
    """Whether a member may be the structure of one record, and not a crystal whose id is the key."""
    return (key in {"structure", "atoms", "cif"} and is_structure(value)) or key in {"data", "attributes"}


def _whole(value: dict[str, Any], place: _Place, alone: bool) -> Records:
    """Yield the crystals of a dictionary that is one structure, one record or one table.

    alone: whether nothing follows it, as in JSON lines.
    """
    path = place.path
    if value and all(is_structure(one) for one in value.values()):
        for name, one in value.items():
            yield place.member(name, one)
        return "cifs"
    if is_structure(value) or is_record(value):
        record = place.element(value, 0)
        yield record._replace(id=path.name.partition(".")[0]) if alone and record.id == "0" else record
        return "list"
    data = value.get("data")
    if isinstance(data, list):  # a table in MessagePack
        table = Table(value, path, place.id_column)
        shape = yield from _rows(iter(data), table, place)
        if shape == "entries":
            return "list"
        yield from table.rest()
        return "matbench"
    if is_record(data):
        yield place.element(data, 0)
        return "list"
    if any(_is_column(value.get(key)) for key in ("structure", "atoms", "cif")):
        for row, cells in enumerate(_records_of_columns(value, place)):
            yield place.element(cells, row)
        return "list"
    if not value:
        return "cifs"
    if all(isinstance(one, dict) for one in value.values()):
        raise CrystalliteError(
            f"{path}: holds properties, no crystals. Import crystals with it as their table: "
            f"crystallite data import CRYSTALS --table {path} -o DATA.parquet (of crystals, {KNOWN})"
        )
    raise CrystalliteError(f"{path}: holds no crystals but {described_shape(value)}")


def _is_column(value: Any) -> bool:
    """Whether the value is a column of structures as pandas writes it: {row: structure}."""
    return isinstance(value, dict) and bool(value) and all(is_structure(one) for one in value.values())


def _records_of_columns(columns: Mapping[str, Any], place: _Place) -> Iterator[dict[str, Any]]:
    """Yield the rows of {column: {row: value}} as records; a row's name is its id if there is no other."""
    rows = next(value for key, value in columns.items() if key in {"structure", "atoms", "cif"})
    if not all(isinstance(column, dict) for column in columns.values()):
        raise CrystalliteError(f"{place.path}: not every column is {{row: value}} as pandas writes it")
    for row in rows:
        record = {name: column.get(row) for name, column in columns.items()}
        yield record if record.get(place.id_column) is not None else {**record, place.id_column: row}


def _values(reader: ArchiveReader) -> Iterator[Any]:
    for _ in reader.elements():
        yield reader.value()


def _rows(rows: Iterator[Any], table: Table, place: _Place) -> Records:
    """Yield the rows of `data`; return what they are: cells of a `table`, or `entries`, which are records."""
    shape = "table"
    for row, value in enumerate(rows):
        if row == 0 and isinstance(value, dict):
            shape = "entries"
        if shape == "entries":
            yield place.element(value, row)
        else:
            yield from table.add(value)
    return shape
