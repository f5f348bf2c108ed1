"""The structures of a text that lies in no file: what a browser or a program sends, in any format of text.

The name that comes with it says the format as a file's does; where it says none, the text does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...crystals.cif import each_cif
from ...errors import CrystalError, CrystalliteError
from ...files.distinct_names import DistinctNames
from .archive_records import read_records
from .archive_stream import COMPRESSIONS, open_json
from .ase_formats import parse_extended_xyz
from .input_file import as_crystal_error
from .poscar import parse_poscar
from .record import Record, attempted
from .structure_files import kind_of, name_of

ID_KEY = "material_id"
LONGEST_NAME = 200  # characters that are kept
UNNAMED = "crystal"


class StructureText(NamedTuple):
    """A text with structures, and the name of the file that it would be."""

    name: str
    text: str


def read_text(given: StructureText) -> Iterator[Record]:
    """Yield the structures of a text as `read_structures` does those of the file.

    Of a text without a name the ids are `crystal`, and `crystal:BLOCK` of several in a CIF. What cannot be
    used is a Record with the reason; nothing is raised.
    """
    given = given._replace(text=given.text.encode(errors="replace").decode())  # no halves of surrogates
    path = Path(file_name(given.name))
    try:
        empty = True
        for record in _records(path, given.text):
            empty = False
            yield record
        if empty:
            yield Record(path.name, CrystalError(path.name, "no crystals"), {})
    except CrystalliteError as error:
        yield Record(name_of(path) or path.name, as_crystal_error(error, path.name), {})


def records_of_text(text: str, path: Path, kind: str, name: str, id_column: str = ID_KEY) -> Iterator[Record]:
    """Yield the structures of a text of a kind of file; see `read_structures`.

    path: names it in messages. name: the id of its only structure.
    """
    if kind == "cif":
        for block, crystal in each_cif(text, str(path)):
            yield Record(f"{name}:{block}" if block else name, crystal, {})
    elif kind == "poscar":
        yield Record(name, attempted(parse_poscar, text, str(path)), {})
    elif kind == "xyz":
        yield from parse_extended_xyz(text, path, id_column)
    else:
        with open_json(text, path) as reader:
            yield from read_records(reader, path, id_column)


def file_name(name: str) -> str:
    """Return the last part of a name, as a name of a file may be: no folders, no control characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(one for one in last if one.isprintable())[:LONGEST_NAME]
    return kept if kept.strip(".") else UNNAMED


def different_names(names: Iterable[str]) -> list[str]:
    """Return the names, those that were there before with a number: NaCl.cif, NaCl-2.cif."""
    distinct = DistinctNames()
    paths = [PurePosixPath(file_name(name)) for name in names]
    return [distinct.of(path.stem, path.suffix) for path in paths]


def _records(path: Path, text: str) -> Iterator[Record]:
    kind = kind_of(path) or _kind_of_text(text)
    if kind in {"database", "arrays", "bundle"} or path.suffix.lower() in {*COMPRESSIONS, ".msgpack", ".bin"}:
        raise CrystalError(path.name, "no text: send CIF, POSCAR, extended XYZ or JSON, unpacked")
    yield from records_of_text(text, path, kind, name_of(path) or path.name)


def _kind_of_text(text: str) -> str:
    """Tell the format of a text whose name says none."""
    beginning = text.lstrip("\ufeff \t\r\n")
    if beginning[:1] in {"{", "["}:
        return "archive"
    lines = beginning.splitlines()
    if len(lines) > 1 and lines[0].strip().isdecimal() and "=" in lines[1]:
        return "xyz"
    if re.search(r"(?mi)^[ \t]*(data_|loop_|_cell)", beginning):
        return "cif"
    return "poscar" if len(lines) > 7 else "cif"
