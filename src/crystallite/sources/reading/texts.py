"""The structures of a text that lies in no file: what a browser or a program sends, in any format of text.

The name that comes with it says the format as a file's does; where it says none, the text does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...crystals.cif import parse_cifs
from ...errors import CrystalError, CrystalliteError
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
    path = Path(file_name(given.name))
    try:
        empty = True
        for record in _records(path, given.text):
            empty = False
            yield record
        if empty:
            yield Record(path.name, CrystalError(path.name, "no crystals"), {})
    except CrystalliteError as error:
        yield Record(path.name, as_crystal_error(error, path.name), {})


def file_name(name: str) -> str:
    """Return the last part of a name, as a name of a file may be: no folders, no control characters."""
    last = PurePosixPath(re.sub(r"\\", "/", name)).name
    return "".join(one for one in last if one.isprintable())[:LONGEST_NAME] or UNNAMED


def different_names(names: Iterable[str]) -> list[str]:
    """Return the names, those that were there before with a number: NaCl.cif, NaCl-2.cif."""
    taken: set[str] = set()
    found = []
    for name in map(file_name, names):
        path, candidate, number = PurePosixPath(name), name, 1
        while candidate in taken:
            number += 1
            candidate = f"{path.stem}-{number}{path.suffix}"
        taken.add(candidate)
        found.append(candidate)
    return found


def _records(path: Path, text: str) -> Iterator[Record]:
    kind = kind_of(path) or _kind_of_text(text)
    if kind in {"database", "arrays"} or path.suffix.lower() in {*COMPRESSIONS, ".msgpack", ".bin"}:
        raise CrystalError(path.name, "no text: send CIF, POSCAR, extended XYZ or JSON, unpacked")
    name = name_of(path) or path.name
    if kind == "cif":
        found = parse_cifs(text, path.name)
        for block, crystal in found:
            yield Record(f"{name}:{block}" if len(found) > 1 else name, crystal, {})
    elif kind == "poscar":
        yield Record(name, attempted(parse_poscar, text, path.name), {})
    elif kind == "xyz":
        yield from parse_extended_xyz(text, path, ID_KEY)
    else:
        with open_json(text, path) as reader:
            yield from read_records(reader, path, ID_KEY)


def _kind_of_text(text: str) -> str:
    """Tell the format of a text whose name says none."""
    beginning = text.lstrip("\ufeff \t\r\n")
    if beginning[:1] in {"{", "["}:
        return "archive"
    lines = beginning.splitlines()
    if lines and lines[0].strip().isdecimal() and ("Lattice=" in "".join(lines[1:2])):
        return "xyz"
    if re.search(r"(?mi)^\s*(data_|loop_|_cell)", beginning):
        return "cif"
    return "poscar" if len(lines) > 7 else "cif"
