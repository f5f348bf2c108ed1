"""Reads crystals from CIF files, symmetry expanded, as pymatgen's CifParser reads them but much faster.

What counts as the crystal: the first data block with a cell and a loop of fractional coordinates. Symmetry
comes from the listed operations, else the Hall or Hermann-Mauguin symbol, else the number, else P1. A symbol
without a setting means origin choice 1 and, for R groups, the axes the cell's angles show.

Where this differs from pymatgen on purpose:
- Images of one site closer than MIN_DISTANCE are one atom; pymatgen merges within 1e-4 of a cell edge and
  otherwise returns the atom twice (x, 2x sites with rounded coordinates).
- Without listed operations, Hall symbols, settings (":2", ":R") and rhombohedral cells are understood;
  pymatgen falls back to P1 or hexagonal axes. It takes origin choice 2 for the older names of Ccce.
- An unknown group, operation or coordinate is an error; pymatgen may read P1, zeros or the next block.
- Partial occupancy and atoms closer than MIN_DISTANCE are errors, also where halves of one element add up.
- Sites flagged as dummies are left out; an occupancy of "." means 1; hydroxyl sites "OH" are O.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import compress
from math import acos, cos, radians, sin
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from .compiled import compiled
from .crystal import MAX_ATOMIC_NUMBER, MIN_DISTANCE, Crystal, check_crystal
from .errors import CrystalError
from .files import irregular
from .neighbors import shortest_distance

_LENGTH_TAGS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
_CELL_TAGS = (*_LENGTH_TAGS, "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
_COORDINATE_TAGS = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_MAGNETIC_OPERATION_TAG = "_space_group_symop_magn_operation.xyz"
_CENTERING_TAG = "_space_group_symop_magn_centering.xyz"
_OPERATION_TAGS = (_MAGNETIC_OPERATION_TAG, "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NAME_TAGS = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt", "_space_group_name_H-M")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_MAGNETIC_TAGS = ("_space_group_magn.name_BNS", "_space_group_magn.number_BNS")
_DECISIVE_PREFIXES = ("_cell_", "_atom_site_", "_symmetry_", "_space_group_")
_UNKNOWN = {"?", ".", ""}
_FULL_OCCUPANCY = {"1", "1.0", "1.00", "1.000", "1.0000", "1.00000000", "?", "."}
_OCCUPANCY_TOLERANCE = 1e-3

Operations = NDArray[np.float64]  # (k, 3, 4): the rotation, and in the last column the translation


class _UnreadableError(Exception):
    """Why a file is no crystal; becomes the reason of a CrystalError."""


def read_cif(path: str | Path) -> Crystal:
    """Read the crystal of a CIF file; see `parse_cif`.

    The file may be UTF-8 or, as old files are, Latin-1. Raises CrystalError naming the path.
    """
    source = str(path)
    if reason := irregular(path):
        raise CrystalError(source, f"cannot read the file: {reason}")
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (Path.open is slower, and this runs for every file)
            data = file.read()
    except OSError as error:
        raise CrystalError(source, f"cannot read the file: {error.strerror or error}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return parse_cif(text, source)


def parse_cif(text: str, source: str) -> Crystal:
    """Return the crystal that the text of a CIF describes, with all atoms of the cell.

    frac_coords lie in [0, 1); lattice has c along z and a in the xz plane, as in pymatgen. D and T are read
    as H. Raises CrystalError naming `source` if the text is no valid CIF, lacks a cell or atoms, has partial
    occupancies, unknown elements or coordinates, no volume, or atoms closer than MIN_DISTANCE.
    """
    try:
        block = _structure_block(_document(text))
        cell = _cell(block)
        numbers, frac_coords = _sites(block)
        operations = _operations(block, rhombohedral=abs(cell[3] - cell[5]) < 1.0)
    except _UnreadableError as problem:
        raise CrystalError(source, str(problem)) from None
    lattice = _lattice(*cell)
    _snap_to_thirds(frac_coords)
    if len(operations) > 1:
        frac_coords, site_of = _images(frac_coords, operations, lattice, MIN_DISTANCE)
        numbers = numbers[site_of]
    frac_coords -= np.floor(frac_coords)
    crystal = Crystal(numbers, lattice, frac_coords)
    check_crystal(crystal, source)
    _check_overlap(crystal, source)
    return crystal


def _check_overlap(crystal: Crystal, source: str) -> None:
    """Raise CrystalError if two atoms, periodic images included, are closer than MIN_DISTANCE."""
    distance = shortest_distance(crystal)
    if distance < MIN_DISTANCE:
        raise CrystalError(source, f"two atoms are {distance:.3f} Å apart; they overlap or share one site")


def _document(text: str) -> Any:
    """Parse the text; what is wrong far from the structure is forgiven."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise _UnreadableError("the file is empty")
    if "\0" in text:
        raise _UnreadableError("not a text file in UTF-8; save it as UTF-8")
    try:
        return cif.read_string(text)
    except RuntimeError as error:  # duplicate or valueless tags, which level 0 does not check
        return _forgiving_document(text, _syntax_reason(error))
    except ValueError as error:
        raise _UnreadableError(_syntax_reason(error)) from None


def _forgiving_document(text: str, reason: str) -> Any:
    """Parse the text unless a repeated tag leaves the structure open."""
    document: Any = cif.read_string(text, 0)
    for block in document:
        seen: set[str] = set()
        for item in block:
            tags: list[str] = [item.pair[0]] if item.pair else item.loop.tags if item.loop else []
            for tag in map(str.lower, tags):
                if tag in seen and tag.startswith(_DECISIVE_PREFIXES):
                    raise _UnreadableError(reason)
                seen.add(tag)
    return document


def _syntax_reason(error: Exception) -> str:
    found = re.match(r"\w+:(\d+)(?::\d+\(\d+\)| in data_\S*): (.*)", str(error), re.DOTALL)
    return f"not a valid CIF, line {found[1]}: {found[2]}" if found else f"not a valid CIF: {error}"


def _structure_block(document: Any) -> Any:
    """The first data block with a cell and atoms."""
    has_atoms = False
    for block in document:
        if block.find_loop_item(_COORDINATE_TAGS[0]) is not None:
            has_atoms = True
            if any(block.find_value(tag) for tag in _LENGTH_TAGS):
                return block
    raise _UnreadableError("no unit cell" if has_atoms else "no atoms (no loop of _atom_site_fract_x)")


def _cell(block: Any) -> list[float]:
    """The cell's a, b, c in Å and α, β, γ in degrees."""
    cell = []
    for tag in _CELL_TAGS:
        value = block.find_value(tag)
        if value is None or value in _UNKNOWN:
            raise _UnreadableError(f"the unit cell is incomplete: {tag} is missing")
        cell.append(_number(value, tag))
    if min(cell) <= 0 or max(cell[3:]) >= 180:
        raise _UnreadableError(f"the unit cell is impossible: {', '.join(f'{value:g}' for value in cell)}")
    return cell


def _lattice(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Lattice vectors as rows, Å: c along z, a in the xz plane."""
    alpha, beta, gamma = radians(alpha), radians(beta), radians(gamma)
    cosine = (cos(alpha) * cos(beta) - cos(gamma)) / (sin(alpha) * sin(beta))
    gamma_star = acos(max(-1.0, min(1.0, cosine)))  # angles no cell can have leave it flat: no volume
    b_plane, b_height = -b * sin(alpha) * cos(gamma_star), b * sin(alpha) * sin(gamma_star)
    return np.array([[a * sin(beta), 0.0, a * cos(beta)], [b_plane, b_height, b * cos(alpha)], [0.0, 0.0, c]])


def _number(text: str, what: str) -> float:
    """The number in a CIF value such as 0.25, '0.25' or 0.2503(4)."""
    try:
        return float(text.strip("'\"").partition("(")[0])
    except ValueError:
        problem = "unknown" if text in _UNKNOWN else f"not a number: {text}"
        raise _UnreadableError(f"{what} is {problem}") from None


def _columns(block: Any, tag: str) -> dict[str, list[str]]:
    """The raw columns, by tag in lower case, of the loop that has `tag`; empty if there is none."""
    item = block.find_loop_item(tag)
    if item is None:
        return {}
    tags, values = item.loop.tags, item.loop.values
    return {name.lower(): values[column :: len(tags)] for column, name in enumerate(tags)}


def _sites(block: Any) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Atomic numbers (n,) and fractional coordinates (n, 3) of the sites as listed."""
    columns = _occupied(_columns(block, _COORDINATE_TAGS[0]))
    labels = columns.get("_atom_site_label")
    symbols = columns.get("_atom_site_type_symbol") or labels
    if symbols is None:
        raise _UnreadableError("the atoms have neither _atom_site_type_symbol nor _atom_site_label")
    if labels is not None and not _UNKNOWN.isdisjoint(symbols):
        pairs = zip(symbols, labels, strict=True)
        symbols = [label if symbol in _UNKNOWN else symbol for symbol, label in pairs]
    numbers = np.array([_atomic_number(symbol) for symbol in symbols], np.uint8)
    rows = [columns.get(tag, ["?"] * len(symbols)) for tag in _COORDINATE_TAGS]
    try:
        transposed = np.array(rows, np.float64)
    except ValueError:  # standard uncertainties, quotes or unknowns
        transposed = np.empty((3, len(symbols)))
        for axis, tag in enumerate(_COORDINATE_TAGS):
            pairs = zip(rows[axis], labels or symbols, strict=True)
            transposed[axis] = [_number(text, f"{tag} of {name}") for text, name in pairs]
    return numbers, np.ascontiguousarray(transposed.T)


def _occupied(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """The columns without dummy and empty sites; an occupancy other than 0 and 1 is an error."""
    flags = columns.get("_atom_site_calc_flag", [])
    if "dum" in flags:
        columns = _rows(columns, [flag != "dum" for flag in flags])
    occupancies = columns.get("_atom_site_occupancy", [])
    if _FULL_OCCUPANCY.issuperset(occupancies):
        return columns
    labels = columns.get("_atom_site_label") or columns.get("_atom_site_type_symbol") or occupancies
    keep = []
    for text, label in zip(occupancies, labels, strict=True):
        occupancy = 1.0 if text in _UNKNOWN else _number(text, f"the occupancy of {label}")
        if not (occupancy <= 0 or abs(occupancy - 1) <= _OCCUPANCY_TOLERANCE):
            kind = "partial" if occupancy < 1 else "impossible"
            raise _UnreadableError(f"{kind} occupancy: {label} has {occupancy:g}, and every site must have 1")
        keep.append(occupancy > 0)
    return columns if all(keep) else _rows(columns, keep)


def _rows(columns: dict[str, list[str]], keep: list[bool]) -> dict[str, list[str]]:
    return {tag: list(compress(column, keep)) for tag, column in columns.items()}


@lru_cache(maxsize=4096)
def _atomic_number(symbol: str) -> int:
    """Atomic number of a type symbol or label: Fe, FE, Fe3+, Fe1, O_a, Na+1, D."""
    letters = cif.as_string(symbol)
    if re.search(r"[,/]\s*[A-Z]|\s\+\s", letters):
        raise _UnreadableError(f"partial occupancy: {symbol} means several species on one site")
    if letters[:3].lower() == "wat":  # water
        letters = "O"
    for name in (letters[:2].title(), letters[:1].upper()):
        number: int = 1 if name == "T" else gemmi.Element(name).atomic_number
        if number > MAX_ATOMIC_NUMBER:
            raise _UnreadableError(f"element {name} is beyond the table, which ends at {MAX_ATOMIC_NUMBER}")
        if number > 0 and name.isalpha():
            return number
    raise _UnreadableError(f"unknown element {symbol}")


def _operations(block: Any, rhombohedral: bool) -> Operations:
    """The symmetry operations of the block; `rhombohedral` tells the axes of R groups where unsaid."""
    for tag in _OPERATION_TAGS:
        listed = _values(block, tag)
        if listed:
            return _listed_operations(tuple(listed), tuple(_values(block, _CENTERING_TAG)))
    for tag in (*_HALL_TAGS, *_NAME_TAGS):
        for name in _values(block, tag):
            operations = _named_operations(cif.as_string(name), tag in _HALL_TAGS, rhombohedral)
            if operations is not None:
                return operations
    return _numbered_operations(block, rhombohedral)


def _values(block: Any, tag: str) -> list[str]:
    """The known values of a tag, in a loop or alone."""
    column = _columns(block, tag).get(tag.lower())
    if column is None:
        column = [block.find_value(tag) or "?"]
    return [value for value in column if value not in _UNKNOWN]


@lru_cache(maxsize=1024)
def _listed_operations(listed: tuple[str, ...], centerings: tuple[str, ...]) -> Operations:
    operations = np.array([_operation(text) for text in listed])
    if not centerings:
        return operations
    combined = []
    for centering in map(_operation, centerings):
        combined.append(operations.copy())
        combined[-1][:, :, 3] += centering[:, 3]
    return np.concatenate(combined)


def _operation(text: str) -> NDArray[np.float64]:
    """(3, 4) rotation and translation of '-x+y, 1/2+y, z'; a magnetic file's fourth part is ignored."""
    operation = np.zeros((3, 4))
    parts = re.sub(r"['\"\s]", "", text).lower().split(",")
    if parts[3:] in (["1"], ["+1"], ["-1"]):
        del parts[3]
    try:
        for row, part in zip(operation, parts, strict=True):
            for sign, factor, axis in re.findall(r"([+-]?)([^+\-xyz]*)([xyz]?)", part):
                if factor or axis:
                    value = _simple_fraction(factor.rstrip("*") or "1")
                    row["xyz".find(axis) if axis else 3] += -value if sign == "-" else value
        if abs(abs(np.linalg.det(operation[:, :3])) - 1) > 1e-6:
            raise ValueError("it changes volumes")
    except (ValueError, ZeroDivisionError):
        raise _UnreadableError(f"cannot read the symmetry operation {text}") from None
    return operation


def _simple_fraction(text: str) -> float:
    """The value of 1/2, 0.5 or 0.3333, the last as 1/3."""
    value = Fraction(text)
    simple = value.limit_denominator(24)
    return float(simple if abs(simple - value) < 1e-4 else value)


@lru_cache(maxsize=1024)
def _named_operations(name: str, is_hall: bool, rhombohedral: bool) -> Operations | None:
    """The operations of a Hall symbol, which settles the axes, or a Hermann-Mauguin one; None if unknown."""
    if is_hall:
        try:
            return _group_operations(gemmi.symops_from_hall(name))
        except (RuntimeError, ValueError):
            return None
    name = name.replace("_", " ")
    origin = {"S": " :1", "Z": " :2"}.get(name[-1:])  # the origin choice as the ICSD writes it
    axes = (60.0, 60.0) if rhombohedral else (90.0, 120.0)
    group = gemmi.find_spacegroup_by_name(name[:-1] + origin if origin else name, *axes)
    return None if group is None else _group_operations(group.operations())


def _numbered_operations(block: Any, rhombohedral: bool) -> Operations:
    """The operations of the group's number, else those of P1 if the file names no group."""
    for tag in _NUMBER_TAGS:
        for text in _values(block, tag):
            number = _number(text, tag)
            if not 1 <= number <= 230:
                raise _UnreadableError(f"there is no space group number {text}")
            operations = _named_operations(
                gemmi.find_spacegroup_by_number(int(number)).hm, False, rhombohedral
            )
            if operations is not None:
                return operations
    for tag in (*_HALL_TAGS, *_NAME_TAGS, *_MAGNETIC_TAGS):
        for name in _values(block, tag):
            raise _UnreadableError(f"unknown space group {name} and no symmetry operations listed")
    return _listed_operations(("x,y,z",), ())


def _group_operations(group: Any) -> Operations:
    operations = [np.column_stack([operation.rot, operation.tran]) for operation in group]
    return np.array(operations) / gemmi.Op.DEN


@compiled
def _snap_to_thirds(frac_coords):  # type: ignore[no-untyped-def]
    """Replace, in place, coordinates such as 0.3333 by the third they mean (the bounds are pymatgen's)."""
    for atom in range(len(frac_coords)):
        for axis in range(3):
            for third in (1 / 3, 2 / 3):
                if abs(frac_coords[atom, axis] / third - 1) <= 1e-4:
                    frac_coords[atom, axis] = third


@compiled
def _images(frac_coords, operations, lattice, distance):  # type: ignore[no-untyped-def]
    """All images of the sites, those of one site closer than `distance` once, and the site of each image."""
    images = np.empty((len(frac_coords) * len(operations), 3))
    site_of = np.empty(len(images), np.int64)
    count = 0
    for site in range(len(frac_coords)):
        first = count
        x, y, z = frac_coords[site]
        for operation in operations:
            for axis in range(3):
                row = operation[axis]
                position = row[0] * x + row[1] * y + row[2] * z + row[3]
                images[count, axis] = position - np.floor(position)
            if not _is_near_any(images[count], images[first:count], lattice, distance):
                site_of[count] = site
                count += 1
    return images[:count].copy(), site_of[:count].copy()


@compiled
def _is_near_any(point, points, lattice, distance):  # type: ignore[no-untyped-def]
    """Whether a point is closer than `distance` to one of the points, or to its image in the next cell."""
    for other in points:
        a = point[0] - other[0] - np.rint(point[0] - other[0])
        b = point[1] - other[1] - np.rint(point[1] - other[1])
        c = point[2] - other[2] - np.rint(point[2] - other[2])
        square = 0.0
        for axis in range(3):
            square += (a * lattice[0, axis] + b * lattice[1, axis] + c * lattice[2, axis]) ** 2
        if square < distance * distance:
            return True
    return False
